//! The dialect from outside: what is read, what is refused in which words, and that no bytes make it panic.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report")]

use xml::{Element, MAX_DEPTH, MAX_TEXT, XmlError, XmlErrorKind, parse, parse_with_variables};

/// Touches most of the dialect; used whole, truncated and mutated.
const SAMPLE: &[u8] = b"\xef\xbb\xbf<?xml version=\"1.0\"?>\n\
    stray text <!-- a comment -->\n\
    <var name=\"BAD\">error|fail</var>\n\
    <group name='syslog,sshd,'>\n\
      <rule id=\"1\" level = \"5\"></rule>\n\
      <rule id=\"5716\" level=\"5\">\n\
        <match>^Failed $BAD|\\<none></match>\n\
        <if_sid />\n\
        <description>It<! note !>'s &lt; \xff</description>\n\
      </rule>\n\
    </group>\n<group name=\"x\"/>\n";

fn only_root(text: &[u8]) -> Element {
    let mut roots = parse(text).unwrap();
    assert_eq!(roots.len(), 1);
    roots.remove(0)
}

fn message(text: &[u8]) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn a_whole_file_keeps_order_bytes_and_lines() {
    let sample = SAMPLE.to_vec();
    let sample = String::from_utf8_lossy(&sample).replace("level = ", "level= ");
    let roots = parse(sample.as_bytes()).unwrap();
    let shape: Vec<_> = roots.iter().map(|r| (r.name.as_str(), r.line, r.children.len())).collect();
    assert_eq!(shape, [("var", 3, 0), ("group", 4, 2), ("group", 12, 0)]);
    let rule = &roots[1].children[1];
    assert_eq!((rule.line, rule.attribute("id")), (6, Some(&b"5716"[..])));
    assert_eq!(rule.child("match").unwrap().content, b"^Failed $BAD|\\<none>");
    assert_eq!(rule.child("if_sid").unwrap().content, b"");
    assert_eq!(rule.child("description").unwrap().line, 9);
}

#[test]
fn white_space_before_the_equals_sign_is_refused() {
    assert_eq!(message(SAMPLE), "XMLERR: Attribute 'level' has no value. (line 5)");
}

#[test]
fn content_is_neither_trimmed_nor_decoded() {
    let root = only_root(b"<a> x &lt;\xff\n</a>");
    assert_eq!(root.content, b" x &lt;\xff\n");
}

#[test]
fn a_quoted_less_than_stays_with_its_backslash() {
    assert_eq!(only_root(b"<a>x\\<b>y\\\\<</a>").content, b"x\\<b>y\\\\<");
}

#[test]
fn comments_vanish_within_content_and_end_in_two_ways() {
    assert_eq!(only_root(b"<a>1<!-- <b> -->2<! > !>3</a>").content, b"123");
}

#[test]
fn text_before_a_child_is_dropped_and_text_behind_the_last_kept() {
    assert_eq!(only_root(b"<a>one<b/>two<b/>three</a>").content, b"three");
}

#[test]
fn both_quotes_and_space_behind_the_equals_sign_are_fine() {
    let root = only_root(b"<a x= \"it's\" y='\"' />");
    assert_eq!((root.attribute("x"), root.attribute("y")), (Some(&b"it's"[..]), Some(&b"\""[..])));
    assert_eq!(root.attribute("X"), None);
}

#[test]
fn errors_are_said_in_the_known_words() {
    let cases: &[(&[u8], &str)] = &[
        (b"<?xml", "XMLERR: XML declaration not closed. (line 1)"),
        (b"\n<!-- x", "XMLERR: Comment not closed. (line 2)"),
        (b"\n</x>", "XMLERR: Element not opened. (line 2)"),
        (b"<a>\n</b>", "XMLERR: Element 'a' not closed. (line 2)"),
        (b"<a", "XMLERR: Element 'a' not closed. (line 1)"),
        (b"<a/b>", "XMLERR: Element 'a' not closed. (line 1)"),
        (b"<a><b></b>\n\n", "XMLERR: End of file and some elements were not closed. (line 3)"),
        (b"<a b>", "XMLERR: Attribute 'b' has no value. (line 1)"),
        (b"<a =\"x\">", "XMLERR: Attribute '' has no value. (line 1)"),
        (b"<a b=c>", "XMLERR: Attribute 'b' not followed by a \" or '. (line 1)"),
        (b"<a b='c>", "XMLERR: Attribute 'b' not closed. (line 1)"),
        (b"<a b", "XMLERR: End of file while reading an attribute. (line 1)"),
        (b"<a b='c' b='d'>", "XMLERR: Attribute 'b' already defined. (line 1)"),
        (b"<a b='c'd='e'>", "XMLERR: Bad attribute closing for 'b'='c'. (line 1)"),
    ];
    for (text, expected) in cases {
        assert_eq!(message(text), *expected, "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn texts_have_a_limit() {
    let of = |len: usize| "x".repeat(len);
    assert_eq!(only_root(format!("<a>{}</a>", of(MAX_TEXT)).as_bytes()).content.len(), MAX_TEXT);
    let long = of(MAX_TEXT + 1);
    let kind = |text: String| parse(text.as_bytes()).unwrap_err().kind;
    assert_eq!(kind(format!("<a>{long}</a>")), XmlErrorKind::Overflow);
    assert_eq!(kind(format!("<{long}/>")), XmlErrorKind::Overflow);
    assert!(matches!(kind(format!("<a {long}='1'/>")), XmlErrorKind::AttributeOverflow(_)));
    assert!(matches!(kind(format!("<a b='{long}'/>")), XmlErrorKind::AttributeOverflow(_)));
    assert!(parse(format!("{long}<!--{long}--><a/>").as_bytes()).is_ok());
}

#[test]
fn nesting_has_a_limit_and_costs_no_stack() {
    let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    let roots = parse(deep(MAX_DEPTH).as_bytes()).unwrap();
    assert!(roots.clone() == roots);
    let error = parse(deep(MAX_DEPTH + 1).as_bytes()).unwrap_err();
    assert_eq!(error, XmlError { kind: XmlErrorKind::TooDeep, line: 1 });
    assert!(parse(b"<a>".repeat(1_000_000).as_slice()).is_err());
}

#[test]
fn variables_replace_in_content_and_attributes_further_down() {
    let text = b"<a>$X</a><var name=\"X\">1|2</var><a b=\"$x.\">$X,$X $$x|$ $</a>";
    let roots = parse_with_variables(text).unwrap();
    assert_eq!(roots.len(), 2);
    assert_eq!(roots[0].content, b"$X");
    assert_eq!(roots[1].content, b"1|2,1|2 $1|2|$ $");
    assert_eq!(roots[1].attribute("b"), Some(&b"1|2."[..]));
}

#[test]
fn a_later_variable_may_use_an_earlier_one_and_override_it() {
    let text = b"<var name='AB'>x</var><var name='AB'>$AB|y</var><c>$AB</c>";
    assert_eq!(parse_with_variables(text).unwrap()[0].content, b"x|y");
}

#[test]
fn short_texts_are_not_searched_for_variables() {
    let roots = parse_with_variables(b"<var name='A'>x</var><c>$B</c>").unwrap();
    assert_eq!(roots[0].content, b"$B");
}

#[test]
fn variable_errors_are_said_in_the_known_words() {
    let cases: &[(&str, &str)] = &[
        ("<var name='A'>x</var>\n<c>$Boo)</c>", "XMLERR: Unknown variable: 'Boo)'. (line 2)"),
        ("<var>x</var>", "XMLERR: No value set for variable. (line 1)"),
        ("<var name='A'></var>", "XMLERR: No value set for variable. (line 1)"),
        ("<var name=''>x</var>", "XMLERR: Invalid variable name size. (line 1)"),
        ("<var name='A'><b/></var>", "XMLERR: Invalid variable content. (line 1)"),
        (
            "<var name='A' b='c'>x</var>",
            "XMLERR: Only \"name\" is allowed as an attribute for a variable. (line 1)",
        ),
    ];
    for (text, expected) in cases {
        let error = parse_with_variables(text.as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), *expected, "{text}");
    }
}

#[test]
fn variables_do_not_grow_without_bound() {
    let text = format!(
        "<var name='A'>{}</var><c>{}</c>",
        "x".repeat(MAX_TEXT),
        "$A ".repeat(MAX_TEXT / 3)
    );
    assert_eq!(parse_with_variables(text.as_bytes()).unwrap_err().kind, XmlErrorKind::Overflow);
}

#[test]
fn a_file_cut_at_any_byte_gives_an_error_or_whole_elements() {
    for end in 0..SAMPLE.len() {
        if let Ok(roots) = parse_with_variables(&SAMPLE[..end]) {
            assert!(roots.len() <= 2);
        }
    }
}

#[test]
fn changed_bytes_never_panic_and_errors_name_a_line_of_the_file() {
    let interesting = b"<>/!?\\-='\"$ \n\0ax\xff";
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for _ in 0..20_000 {
        let mut text = SAMPLE.to_vec();
        for _ in 0..=next(6) {
            let at = next(text.len());
            match next(3) {
                0 => text[at] = interesting[next(interesting.len())],
                1 => text.insert(at, interesting[next(interesting.len())]),
                _ => drop(text.remove(at)),
            }
        }
        if let Err(error) = parse_with_variables(&text) {
            let lines = 1 + text.iter().filter(|b| **b == b'\n').count();
            assert!((1..=lines).contains(&error.line), "{error}");
        }
    }
}

/// What is written in the dialect comes back as it was.
#[test]
fn what_is_written_is_read_again() {
    let roots = parse_with_variables(SAMPLE_SOUND).unwrap();
    let mut text = Vec::new();
    roots.iter().for_each(|root| write(root, &mut text));
    let mut again = parse(&text).unwrap();
    let mut roots = roots;
    roots.iter_mut().chain(&mut again).for_each(forget_lines);
    assert_eq!(again, roots);
}

const SAMPLE_SOUND: &[u8] =
    b"<a x='1' y='\"2\"'> t \\<u <b/><b z=''>\xff<c>d</c>e</b> end</a><f>&amp;</f>";

fn write(element: &Element, out: &mut Vec<u8>) {
    out.extend(format!("<{}", element.name).bytes());
    for attribute in &element.attributes {
        out.extend([format!(" {}='", attribute.name).as_bytes(), &attribute.value, b"'"].concat());
    }
    out.push(b'>');
    element.children.iter().for_each(|child| write(child, out));
    out.extend(&element.content);
    out.extend(format!("</{}>", element.name).bytes());
}

fn forget_lines(element: &mut Element) {
    element.line = 0;
    element.children.iter_mut().for_each(forget_lines);
}
