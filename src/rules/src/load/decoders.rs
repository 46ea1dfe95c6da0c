//! Reads decoder files: `<decoder name="sshd"><program_name>^sshd</program_name></decoder>`.

use std::collections::HashMap;

use super::patterns::Pieces;
use super::{Names, Notes, Source};
use crate::decoder::{Base, Decoder, DecoderIndex, Decoders, FtsMask, NameId, OrderItem};
use crate::event::Field;
use crate::options::Options;
use crate::plugin::Plugin;
use crate::rule::Category;
use crate::text::{Language, Text};

/// Longest pattern of a decoder, all its pieces together.
const MAX_PATTERN: usize = 8192;
/// Most names in an `<fts>`.
const MAX_FTS: usize = 8;

/// Reads all files in order.
pub(super) fn read(
    sources: &[Source<'_>],
    options: &Options,
    names: &mut Names,
    notes: &mut Notes,
) -> Decoders {
    let mut reader =
        Reader { decoders: Decoders::default(), own_names: Vec::new(), roots: HashMap::new() };
    for source in sources {
        for element in notes.parse(source) {
            if element.name.eq_ignore_ascii_case("decoder") {
                reader.decoder(&element, options, names, notes);
            } else {
                notes.error(
                    element.line,
                    format!(
                        "<{}> is not known here; expected <decoder name=\"...\">",
                        element.name
                    ),
                );
            }
        }
    }
    reader.decoders
}

struct Reader {
    decoders: Decoders,
    /// Name of each decoder as written.
    own_names: Vec<NameId>,
    /// Root decoders by name.
    roots: HashMap<NameId, Vec<DecoderIndex>>,
}

/// A decoder's tags as written.
#[derive(Default)]
struct Tags {
    line: usize,
    parent: Option<String>,
    program: Pieces,
    program_pcre: Pieces,
    prematch: Pieces,
    prematch_pcre: Pieces,
    prematch_offset: Option<String>,
    regex: Pieces,
    pcre: Pieces,
    offset: Option<String>,
    order: Vec<OrderItem>,
    category: Option<Category>,
    fts: FtsMask,
    accumulate: bool,
    use_own_name: bool,
    plugin: Option<Plugin>,
}

impl Reader {
    fn decoder(
        &mut self,
        element: &xml::Element,
        options: &Options,
        names: &mut Names,
        notes: &mut Notes,
    ) {
        let [attribute] = element.attributes.as_slice() else {
            notes.error(element.line, "a decoder has exactly one attribute: name");
            return;
        };
        if !attribute.name.eq_ignore_ascii_case("name") {
            notes.error(
                element.line,
                format!("unknown attribute {:?}; expected name", attribute.name),
            );
            return;
        }
        let Some(own_name) = names.number(&attribute.text()) else {
            notes.error(element.line, "more than 65535 decoder names");
            return;
        };
        let errors = notes.errors.len();
        let mut tags = Tags { line: element.line, ..Tags::default() };
        for child in &element.children {
            tags.read(child, options, notes);
        }
        if notes.errors.len() > errors {
            return;
        }
        if let Err(text) = self.add(own_name, &tags, names, notes) {
            let name = attribute.text();
            notes.error(element.line, format!("decoder {name:?}: {text}"));
        }
    }

    fn add(
        &mut self,
        own_name: NameId,
        tags: &Tags,
        names: &Names,
        notes: &mut Notes,
    ) -> Result<(), String> {
        let mut decoder = tags.compile(own_name, notes)?;
        let index = DecoderIndex(u32::try_from(self.decoders.all.len()).map_err(|_| "too many")?);
        let Some(parent) = &tags.parent else {
            if decoder.program.is_some() {
                self.decoders.with_program.push(index);
            } else {
                self.decoders.without_program.push(index);
            }
            self.roots.entry(own_name).or_default().push(index);
            self.decoders.all.push(decoder);
            self.own_names.push(own_name);
            return Ok(());
        };
        let parent_name = names.get(parent);
        let parents = parent_name.and_then(|name| self.roots.get(&name)).cloned();
        let (Some(parent_name), Some(parents)) = (parent_name, parents) else {
            return Err(format!(
                "parent {parent:?} is not defined above as a decoder without a parent of its own"
            ));
        };
        decoder.parent = Some(parent_name);
        if !tags.use_own_name {
            decoder.name = parent_name;
        }
        let mut is_step = false;
        for &parent in &parents {
            is_step |= self.link(parent, index, own_name, &decoder)?;
        }
        if decoder.base == Base::AfterRegex && !is_step {
            return Err("offset=\"after_regex\" needs a decoder of the same name above".into());
        }
        self.decoders.all.push(decoder);
        self.own_names.push(own_name);
        Ok(())
    }

    /// Makes `index` a child of `parent`; true if it follows one of its own name.
    fn link(
        &mut self,
        parent: DecoderIndex,
        index: DecoderIndex,
        own_name: NameId,
        decoder: &Decoder,
    ) -> Result<bool, String> {
        let siblings =
            self.decoders.all.get(parent.at()).map(|p| p.children.clone()).unwrap_or_default();
        let mut is_step = false;
        for sibling in siblings {
            if self.own_names.get(sibling.at()) != Some(&own_name) {
                continue;
            }
            let Some(earlier) = self.decoders.all.get_mut(sibling.at()) else { continue };
            if decoder.prematch.is_some() || decoder.fts.0 != 0 {
                return Err(
                    "a further decoder of the same name has neither prematch nor fts".into()
                );
            }
            let same_kind = matches!(
                (&earlier.pattern, &decoder.pattern),
                (Some(Text::Regex(_)), Some(Text::Regex(_)))
                    | (Some(Text::Pcre(_)), Some(Text::Pcre(_)))
            );
            if !same_kind {
                return Err("decoders of the same name have all <regex>, or all <pcre2>".into());
            }
            earlier.has_next = true;
            is_step = true;
        }
        if let Some(parent) = self.decoders.all.get_mut(parent.at()) {
            parent.children.push(index);
        }
        Ok(is_step)
    }
}

impl Tags {
    fn read(&mut self, element: &xml::Element, options: &Options, notes: &mut Notes) {
        let text = element.text();
        match element.name.to_ascii_lowercase().as_str() {
            "parent" => self.parent = Some(text.into_owned()),
            "program_name" if !self.program_pcre.is_given() => {
                self.program.add(element, MAX_PATTERN, notes);
            }
            "program_name_pcre2" if !self.program.is_given() => {
                self.program_pcre.add(element, MAX_PATTERN, notes);
            }
            "program_name" | "program_name_pcre2" => {}
            "prematch" => {
                self.prematch_offset = offset(element, self.prematch_offset.take(), notes);
                self.prematch.add(element, MAX_PATTERN, notes);
            }
            "prematch_pcre2" => {
                self.prematch_offset = offset(element, self.prematch_offset.take(), notes);
                self.prematch_pcre.add(element, MAX_PATTERN, notes);
            }
            "regex" => {
                self.offset = offset(element, self.offset.take(), notes);
                self.regex.add(element, MAX_PATTERN, notes);
            }
            "pcre2" => {
                self.offset = offset(element, self.offset.take(), notes);
                self.pcre.add(element, MAX_PATTERN, notes);
            }
            "order" => self.order(element, options, notes),
            "type" => match Category::from_name(&text) {
                Some(category) => self.category = Some(category),
                None => notes.error(
                    element.line,
                    format!("unknown type {text:?}; expected firewall, ids, web-log, syslog, squid, windows, host-information or ossec"),
                ),
            },
            "fts" => self.fts(element, notes),
            "ftscomment" => {}
            "use_own_name" => match text.trim() {
                "true" => self.use_own_name = true,
                "false" => self.use_own_name = false,
                other => notes.error(element.line, format!("use_own_name is true or false, not {other:?}")),
            },
            "plugin_decoder" => match Plugin::from_name(&text) {
                Some(plugin) => self.plugin = Some(plugin),
                None => notes.error(
                    element.line,
                    format!("unknown plug-in {text:?}; expected PF_Decoder, SymantecWS_Decoder, SonicWall_Decoder, OSSECAlert_Decoder or JSON_Decoder"),
                ),
            },
            "accumulate" => self.accumulate = true,
            other => notes.error(element.line, format!("<{other}> is not known in a decoder")),
        }
    }

    fn order(&mut self, element: &xml::Element, options: &Options, notes: &mut Notes) {
        for item in element.text().split(',') {
            let word = item.trim_start_matches(' ').split(' ').next().unwrap_or_default();
            if word.is_empty() {
                notes.error(element.line, "an order has a name between each two commas");
                return;
            }
            self.order.push(match Field::from_order(word) {
                Some(field) => OrderItem::Field(field),
                None => OrderItem::Dynamic(word.to_string()),
            });
        }
        if self.order.len() > options.decoder_order_size {
            let limit = options.decoder_order_size;
            notes.error(
                element.line,
                format!("an order has at most {limit} names (analysisd.decoder_order_size)"),
            );
        }
    }

    fn fts(&mut self, element: &xml::Element, notes: &mut Notes) {
        const WORDS: [(&str, u32); 8] = [
            // Also for `srcuser`: the source user has never been part of a key.
            ("user", FtsMask::DST_USER),
            ("srcip", FtsMask::SRC_IP),
            ("dstip", FtsMask::DST_IP),
            ("id", FtsMask::ID),
            ("location", FtsMask::LOCATION),
            ("data", FtsMask::DATA),
            ("system_name", FtsMask::SYSTEM_NAME),
            ("name", FtsMask::NAME),
        ];
        let text = element.text();
        if text.split(',').count() > MAX_FTS {
            notes.error(element.line, format!("fts has at most {MAX_FTS} names"));
            return;
        }
        for item in text.split(',') {
            match WORDS.iter().find(|(word, _)| item.contains(word)) {
                Some((_, bit)) => self.fts.0 |= bit,
                None => notes.error(
                    element.line,
                    format!("fts does not know {item:?}; expected user, srcip, dstip, id, location, data, system_name or name"),
                ),
            }
        }
    }

    fn compile(&self, name: NameId, notes: &mut Notes) -> Result<Decoder, String> {
        let is_child = self.parent.is_some();
        let errors = notes.errors.len();
        let program = self
            .program
            .compile(Language::Match, "program_name", notes)
            .or_else(|| self.program_pcre.compile(Language::Pcre, "program_name_pcre2", notes));
        let prematch = self
            .prematch
            .compile(Language::Regex, "prematch", notes)
            .or_else(|| self.prematch_pcre.compile(Language::Pcre, "prematch_pcre2", notes));
        let pattern = self
            .regex
            .compile(Language::Regex, "regex", notes)
            .or_else(|| self.pcre.compile(Language::Pcre, "pcre2", notes));
        if notes.errors.len() > errors {
            return Err("has a pattern that cannot be used (see above)".into());
        }
        if !is_child && program.is_none() && prematch.is_none() {
            return Err("needs a prematch, a program_name or a parent".into());
        }
        if matches!(&pattern, Some(Text::Regex(regex)) if regex.is_literal()) {
            return Err("its regex is a plain text between anchors, which captures nothing".into());
        }
        if self.plugin.is_some() && (pattern.is_some() || !self.order.is_empty()) {
            return Err("a plugin_decoder has no regex and no order".into());
        }
        if pattern.is_some() == self.order.is_empty() {
            return Err("regex and order go together".into());
        }
        if self.fts.0 != 0 && pattern.is_none() {
            return Err("fts needs a regex".into());
        }
        let prematch_after_parent = match self.prematch_offset.as_deref() {
            None => false,
            Some("after_parent") if is_child => true,
            Some("after_parent") => return Err("offset=\"after_parent\" needs a parent".into()),
            Some(other) => {
                return Err(format!("a prematch has no offset {other:?}; expected after_parent"));
            }
        };
        let base = match self.offset.as_deref() {
            None => Base::Log,
            Some("after_parent") if is_child => Base::AfterParent,
            Some("after_prematch") if !is_child || prematch.is_some() => Base::AfterPrematch,
            Some("after_prematch") => {
                return Err("offset=\"after_prematch\" needs a prematch".into());
            }
            Some("after_regex") if is_child => Base::AfterRegex,
            Some(name @ ("after_parent" | "after_regex")) => {
                return Err(format!("offset={name:?} needs a parent"));
            }
            Some(other) => {
                return Err(format!(
                    "unknown offset {other:?}; expected after_parent, after_prematch or after_regex"
                ));
            }
        };
        Ok(Decoder {
            own_name: name,
            file: notes.file.clone(),
            line: self.line,
            name,
            parent: None,
            category: self.category.unwrap_or(Category::Syslog),
            program,
            prematch,
            prematch_after_parent,
            pattern,
            base,
            order: self.order.clone(),
            fts: self.fts,
            accumulate: self.accumulate,
            plugin: self.plugin,
            has_next: false,
            children: Vec::new(),
        })
    }
}

/// The `offset` of a prematch or regex; of repeated tags only the first may have it.
fn offset(element: &xml::Element, known: Option<String>, notes: &mut Notes) -> Option<String> {
    let mut found = known;
    for attribute in &element.attributes {
        if !attribute.name.eq_ignore_ascii_case("offset") {
            notes.error(
                element.line,
                format!("unknown attribute {:?}; expected offset", attribute.name),
            );
        } else if found.is_some() {
            notes.error(element.line, "only the first of repeated tags has an offset");
        } else {
            found = Some(attribute.text().into_owned());
        }
    }
    found
}
