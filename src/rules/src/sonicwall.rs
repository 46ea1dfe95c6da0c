//! The SonicWall plug-in: `id=firewall ... pri=6 c=262144 m=98 ... src=1.2.3.4:5:X1 dst=5.6.7.8:80:X0 proto=tcp/http`.

use std::sync::LazyLock;

use pattern::{Captures, Regex};

use crate::event::Field;
use crate::plugin::{Fields, Value};
use crate::rule::Category;

static HEAD: LazyLock<Option<Regex>> = LazyLock::new(|| regex(br"pri=(\d) c=(\d+) m=(\d+) "));
static ENDS: LazyLock<Option<Regex>> =
    LazyLock::new(|| regex(br"src=(\d+.\d+.\d+.\d+):(\d+):\S+ dst=(\d+.\d+.\d+.\d+):(\d+):"));
static PROXY: LazyLock<Option<Regex>> =
    LazyLock::new(|| regex(br"result=(\d+) dstname=(\S+) arg=(\S+)$"));

fn regex(pattern: &[u8]) -> Option<Regex> {
    Regex::new(pattern).ok()
}

/// The fields, and what kind of event the message number makes it.
pub(crate) fn fields(log: &[u8]) -> (Fields, Category) {
    let mut fields = Fields::new();
    let category = read(log, &mut fields).unwrap_or(Category::Syslog);
    (fields, category)
}

fn read(log: &[u8], fields: &mut Fields) -> Option<Category> {
    let mut captures = Captures::new();
    HEAD.as_ref()?.find_captures(log, &mut captures)?;
    fields.push((Field::Status, Value::At(captures.get(0)?)));
    let kind = log.get(captures.get(1)?)?.to_vec();
    let id = captures.get(2)?;
    let number = log.get(id.clone())?.to_vec();
    fields.push((Field::Id, Value::At(id)));
    let end = ENDS.as_ref()?.find_captures(log, &mut captures)?;
    for (n, field) in
        [Field::SrcIp, Field::SrcPort, Field::DstIp, Field::DstPort].into_iter().enumerate()
    {
        fields.push((field, Value::At(captures.get(n)?)));
    }
    if let Some(protocol) = protocol(log, end) {
        fields.push((Field::Protocol, Value::At(protocol)));
    }
    match number.as_slice() {
        _ if kind == b"32" => Some(Category::Ids),
        b"98" | b"597" | b"598" => Some(firewall("pass", fields)),
        b"36" | b"37" | b"38" | b"173" | b"174" => Some(firewall("drop", fields)),
        b"537" => Some(firewall("close", fields)),
        b"97" => {
            PROXY.as_ref()?.find_captures(log, &mut captures)?;
            let url = [log.get(captures.get(1)?)?, log.get(captures.get(2)?)?].concat();
            fields.push((Field::Id, Value::At(captures.get(0)?)));
            fields.push((Field::Url, Value::Joined(url)));
            Some(Category::Squid)
        }
        _ => None,
    }
}

fn firewall(action: &'static str, fields: &mut Fields) -> Category {
    fields.push((Field::Action, Value::Fixed(action)));
    Category::Firewall
}

/// Behind the next blank `proto=` with a name of up to six bytes.
fn protocol(log: &[u8], from: usize) -> Option<std::ops::Range<usize>> {
    const MAX_NAME: usize = 6;
    let blank = memchr::memchr(b' ', log.get(from..)?)? + from;
    let rest = log.get(blank + 1..)?.strip_prefix(b"proto=")?;
    let len = rest.iter().take(MAX_NAME).take_while(|&&byte| byte != b'/' && byte != b' ').count();
    let start = log.len() - rest.len();
    Some(start..start + len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_number_makes_it_a_firewall_event() {
        let log = b"sn=1 pri=6 c=262144 m=98 msg=\"x\" src=1.2.3.4:1025:X1 dst=5.6.7.8:80:X0 proto=tcp/http";
        let (fields, category) = fields(log);
        assert_eq!(category, Category::Firewall);
        let text = |wanted: Field| {
            fields.iter().find(|(field, _)| *field == wanted).map(|(_, value)| match value {
                Value::At(range) => log[range.clone()].to_vec(),
                Value::Fixed(word) => word.as_bytes().to_vec(),
                Value::Joined(value) => value.clone(),
            })
        };
        assert_eq!(text(Field::Protocol).unwrap(), b"tcp");
        assert_eq!(text(Field::DstPort).unwrap(), b"80");
        assert_eq!(text(Field::Action).unwrap(), b"pass");
    }

    #[test]
    fn cut_lines_never_panic() {
        let log =
            b"pri=6 c=1 m=97 src=1.2.3.4:1:X dst=5.6.7.8:80: proto=tcp result=1 dstname=h arg=/x";
        for end in 0..=log.len() {
            fields(&log[..end]);
        }
    }
}
