//! `ossec.conf` from outside: what each section becomes, and what is said where something is wrong.
#![expect(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use settings::{
    CheckOptions, Checks, ExtraChecks, Ignore, IoClass, LogFormat, Rehash, ResponseLocation,
    Rootcheck, RuleSourceKind, Settings, TimeOfDay,
};

fn read(sections: &str) -> Settings {
    let text = format!("<ossec_config>\n{sections}\n</ossec_config>");
    settings::parse(text.as_bytes(), Path::new("ossec.conf")).unwrap_or_else(|e| panic!("{e}"))
}

fn refusals(sections: &str) -> Vec<String> {
    let text = format!("<ossec_config>\n{sections}\n</ossec_config>");
    let errors = settings::parse(text.as_bytes(), Path::new("ossec.conf")).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

fn warnings(settings: &Settings) -> Vec<String> {
    settings.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_missing_file_is_said_with_the_remedy() {
    let error = settings::load(Path::new("/no/such.conf")).unwrap_err().to_string();
    let expected = "(1239) Configuration file not found: '/no/such.conf'. (create it, or name another with -c)";
    assert_eq!(error, expected);
}

#[test]
fn a_folder_instead_of_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = settings::load(folder.path()).unwrap_err();
    assert_eq!(error.iter().next().unwrap().number, Some(1103));
}

#[test]
fn an_empty_file_is_not_taken_for_defaults() {
    for text in ["", "\n\n", "<!-- all gone -->"] {
        let error = settings::parse(text.as_bytes(), Path::new("ossec.conf")).unwrap_err();
        let expected = "(1231) Invalid NULL element in the configuration. 'ossec.conf' has none. (expected <ossec_config>)";
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn a_slip_in_a_name_is_told_with_the_nearest_name() {
    assert_eq!(
        refusals("<global>\n<log_all>yes</log_all>\n</global>"),
        [
            "(1230) Invalid element in the configuration: 'log_all'. (ossec.conf line 3: expected one of the 38 names of this section; did you mean 'logall'?)"
        ]
    );
    assert_eq!(
        refusals("<syscheks><a/></syscheks>")[0],
        "(1230) Invalid element in the configuration: 'syscheks'. (ossec.conf line 2: expected one of the 15 names of this section; did you mean 'syscheck'?)"
    );
}

#[test]
fn unknown_attributes_and_elements_within_values_are_refused() {
    let said = refusals("<alerts x='1'><log_alert_level y='2'>3<z/></log_alert_level></alerts>");
    let starts: Vec<&str> = said.iter().filter_map(|s| s.split(" (oss").next()).collect();
    assert_eq!(
        starts,
        [
            "(1243) Invalid attribute 'x' in the configuration: 'alerts'.",
            "(1243) Invalid attribute 'y' in the configuration: 'log_alert_level'.",
            "(1230) Invalid element in the configuration: 'z'.",
            "(1235) Invalid value for element 'log_alert_level': .",
        ]
    );
}

#[test]
fn several_roots_are_one_configuration() {
    let text = b"<ossec_config><global><logall>yes</logall></global></ossec_config>\n\
        <ossec_config><global><stats>9</stats></global></ossec_config>";
    let settings = settings::parse(text, Path::new("x")).unwrap();
    assert!(settings.global.logall);
    assert_eq!(settings.global.stats, 9);
}

#[test]
fn agent_blocks_belong_into_agent_conf_only() {
    let text = b"<agent_config os=\"Linux\"><syscheck><disabled>yes</disabled></syscheck></agent_config>\n\
        <agent_config name=\"x\"><nonsense/></agent_config>";
    let error = settings::parse(text, Path::new("x")).unwrap_err().to_string();
    assert!(error.starts_with("(1230) Invalid element in the configuration: 'agent_config'."));
}

#[test]
fn the_allow_list_knows_addresses_networks_and_names() {
    let list = read(
        "<global><white_list>10.0.0.0/8</white_list><allow_list>192.0.2.1</allow_list>\
         <allow_list>2001:db8::/32</allow_list><allow_list>Build.example</allow_list></global>",
    )
    .global
    .allow_list;
    for inside in ["10.9.8.7", "192.0.2.1", "::ffff:192.0.2.1", "2001:db8::5", "build.EXAMPLE"] {
        assert!(list.contains(inside), "{inside}");
    }
    for outside in ["11.0.0.1", "192.0.2.2", "example", "", "10.0.0.0/8"] {
        assert!(!list.contains(outside), "{outside}");
    }
}

#[test]
fn memory_size_has_a_floor() {
    let settings = read("<global><memory_size>5</memory_size></global>");
    assert_eq!(settings.global.memory_size, 2048);
}

#[test]
fn options_of_other_builds_are_a_warning() {
    let settings = read("<alerts><use_geoip>yes</use_geoip></alerts>");
    assert_eq!(
        warnings(&settings),
        [
            "Option 'use_geoip' is not supported by this build and has no effect. (ossec.conf line 2: remove it, or set it to 'no')"
        ]
    );
}

#[test]
fn log_formats_are_known_by_name() {
    let format = |name: &str| LogFormat::of(name);
    assert_eq!(format("json"), Some(LogFormat::Json));
    assert_eq!(format("multi-line:3"), Some(LogFormat::MultiLine(3)));
    assert_eq!(format("multi-line : 12 "), Some(LogFormat::MultiLine(12)));
    assert_eq!(format("multi-line_indented"), Some(LogFormat::MultiLineIndented));
    for bad in
        ["", "Syslog", "multi-line", "multi-line:", "multi-line:0", "multi-line:x", "multi-line 3"]
    {
        assert_eq!(format(bad), None, "{bad}");
    }
    assert!(LogFormat::Apache.is_plain() && !LogFormat::Json.is_plain());
}

#[test]
fn a_command_needs_no_location_and_may_run_hourly() {
    let settings = read(
        "<localfile><LOG_FORMAT>full_command</LOG_FORMAT><command>w</command><Alias>who</Alias>\
         <frequency>hourly</frequency></localfile>",
    );
    let source = &settings.localfiles[0];
    assert_eq!((source.location.as_str(), source.command.as_deref()), ("w", Some("w")));
    assert_eq!(source.alias.as_deref(), Some("who"));
    assert_eq!(source.frequency, Duration::from_secs(3600));
}

#[test]
fn a_command_format_without_command_is_left_out_with_a_warning() {
    let settings = read("<localfile><log_format>command</log_format></localfile>");
    assert!(settings.localfiles.is_empty());
    assert!(warnings(&settings)[0].starts_with("Missing 'command' argument."));
}

#[test]
fn attributes_of_directories_apply_from_left_to_right() {
    let settings = read(
        "<syscheck><directories check_all=\"yes\" check_sum=\"no\" check_md5sum=\"yes\" restrict=\".conf$\">\
         /one , /two three  x,/one</directories><directories realtime=\"yes\">/four</directories></syscheck>",
    );
    let [one, two, four] = settings.syscheck.directories.as_slice() else { panic!() };
    assert_eq!(one.path, Path::new("/one"));
    assert_eq!(two.path, Path::new("/two three"));
    assert_eq!(one.restrict.as_deref(), Some(&b".conf$"[..]));
    let all =
        CheckOptions { size: true, perm: true, owner: true, group: true, ..Default::default() };
    assert_eq!(one.options, CheckOptions { md5: true, ..all });
    assert_eq!(four.options, CheckOptions { sha256: true, realtime: true, ..Default::default() });
    assert!(warnings(&settings)[0].starts_with("(1756) Duplicated directory given: '/one'."));
}

#[test]
fn what_ossec_does_not_know_of_files_is_off_until_asked_for() {
    let settings = read("<syscheck><directories check_all=\"yes\">/etc</directories></syscheck>");
    let syscheck = &settings.syscheck;
    assert!(syscheck.directories[0].options.extra.is_empty());
    assert_eq!((syscheck.rehash, syscheck.max_cpu, syscheck.max_mbps), (Rehash::default(), 5, 0));
    let settings = read(
        "<syscheck><directories check_extended=\"yes\" check_blake3=\"no\" growing=\"yes\">/var/log</directories>\
         <rehash>always</rehash><max_cpu>20</max_cpu><max_mbps>50</max_mbps><io_class>idle</io_class></syscheck>",
    );
    let syscheck = &settings.syscheck;
    let options = syscheck.directories[0].options;
    assert!(options.growing && options.extra.has(ExtraChecks::ACL));
    assert!(!options.extra.has(ExtraChecks::BLAKE3) && !options.extra.has(ExtraChecks::INODE));
    assert_eq!((syscheck.rehash, syscheck.max_cpu, syscheck.max_mbps), (Rehash::Always, 20, 50));
    assert!(refusals("<syscheck><max_cpu>101</max_cpu></syscheck>")[0].starts_with("(1235)"));
    assert_eq!((IoClass::default(), syscheck.io_class), (IoClass::Low, IoClass::Idle));
    assert!(refusals("<syscheck><io_class>high</io_class></syscheck>")[0].starts_with("(1235)"));
    assert!(refusals("<syscheck><rehash>weekly</rehash></syscheck>")[0].starts_with("(1235)"));
}

#[test]
fn globs_of_directories_are_expanded() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("a/etc")).unwrap();
    fs::create_dir_all(folder.path().join("b/etc")).unwrap();
    let pattern = format!("{}/?/etc", folder.path().display());
    let settings = read(&format!(
        "<syscheck><directories check_all=\"yes\">{pattern},/none*/x</directories></syscheck>"
    ));
    let found: Vec<_> = settings.syscheck.directories.iter().map(|d| d.path.clone()).collect();
    assert_eq!(found, [folder.path().join("a/etc"), folder.path().join("b/etc")]);
    assert!(warnings(&settings)[0].starts_with("(1122) No file found by pattern: '/none*/x'."));
}

#[test]
fn ignores_are_prefixes_or_patterns() {
    let settings = read(
        "<syscheck><ignore>/etc/mtab</ignore><ignore type=\"sregex\">.log$</ignore>\
         <nodiff>/etc/shadow</nodiff><scan_time>9:30pm</scan_time><scan_day>weekends</scan_day></syscheck>",
    );
    let syscheck = settings.syscheck;
    let expected = [Ignore::Prefix(b"/etc/mtab".to_vec()), Ignore::Pattern(b".log$".to_vec())];
    assert_eq!(syscheck.ignore, expected);
    assert_eq!(syscheck.nodiff, [Ignore::Prefix(b"/etc/shadow".to_vec())]);
    assert_eq!(syscheck.scan_time, Some(TimeOfDay { hour: 21, minute: 30 }));
    assert!(syscheck.scan_day.unwrap().contains(6));
}

#[test]
fn an_empty_ignore_would_hide_everything_and_is_refused() {
    for element in ["<ignore/>", "<ignore type=\"sregex\"> </ignore>", "<nodiff></nodiff>"] {
        let said = refusals(&format!("<syscheck>{element}</syscheck>"));
        assert!(said[0].starts_with("(1234) Invalid NULL content for element: "), "{said:?}");
    }
}

#[test]
fn a_pattern_that_is_none_is_refused_where_it_stands() {
    let said = refusals(
        "<active-response><command>x</command><location>local</location>\n<rules_group>(a</rules_group></active-response>",
    );
    assert!(said[0].starts_with("(1450) Syntax error on regex: '(a': 6. (ossec.conf line 3: "));
}

const COMMAND: &str = "<command><name>drop</name><executable>drop.sh</executable>\
    <expect>srcip, Username</expect><timeout_allowed>yes</timeout_allowed></command>";

#[test]
fn a_response_finds_its_command_wherever_that_stands() {
    let settings = read(&format!(
        "<active-response><command>drop</command><location>defined-agent,SERVER</location>\
         <agent_id>007</agent_id><rules_id>5716, 5720</rules_id><level>6</level><timeout>600</timeout>\
         </active-response>{COMMAND}"
    ));
    let response = &settings.responses.list[0];
    let location = ResponseLocation { server: true, defined_agent: true, ..Default::default() };
    assert_eq!(response.location, location);
    assert_eq!(
        (response.name().as_str(), response.rules_id.as_slice()),
        ("drop600", &[5716, 5720][..])
    );
    let expect = settings.command("drop").unwrap().expect;
    assert!(expect.srcip && expect.user && !expect.filename);
}

#[test]
fn repeated_offenders_count_in_any_block() {
    let settings = read(&format!(
        "{COMMAND}<active-response><command>drop</command><location>local</location></active-response>\
         <active-response><repeated_offenders>30, 60,120</repeated_offenders></active-response>"
    ));
    assert_eq!(settings.responses.repeated_offenders, [30, 60, 120]);
    assert_eq!(settings.responses.list.len(), 1);
    assert!(!settings.responses.disabled);
}

#[test]
fn disabled_is_for_one_block_but_in_the_first_or_alone_for_all() {
    let block = "<active-response><command>drop</command><location>local</location>";
    let end = "<disabled>yes</disabled></active-response>";
    let later = read(&format!("{COMMAND}{block}</active-response>{block}{end}")).responses;
    assert!(!later.disabled && !later.list[0].disabled && later.list[1].disabled);
    assert!(read(&format!("{COMMAND}{block}{end}")).responses.disabled);
    let alone = format!("{COMMAND}{block}</active-response><active-response>{end}");
    assert!(read(&alone).responses.disabled);
}

#[test]
fn rule_folders_are_resolved_in_the_order_of_bytes_behind_what_is_named() {
    let root = tempfile::tempdir().unwrap();
    let rules = root.path().join("rules");
    fs::create_dir(&rules).unwrap();
    for name in ["b.xml", "a.xml", "z.xml", "notes.txt", "c.xml~"] {
        fs::write(rules.join(name), "").unwrap();
    }
    let sources =
        read("<rules><include>z.xml</include><rule_dir>rules</rule_dir><list>l/x</list></rules>")
            .rules;
    let files = sources.resolve(root.path()).unwrap();
    assert_eq!(files.rules, ["z.xml", "a.xml", "b.xml"].map(|name| rules.join(name)));
    assert_eq!(files.decoders, [root.path().join("etc/decoder.xml")]);
    assert_eq!(files.lists, [root.path().join("l/x")]);
}

#[test]
fn a_rule_folder_takes_a_pattern_and_must_exist() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("d")).unwrap();
    fs::write(root.path().join("d/one.conf"), "").unwrap();
    let sources = read("<rules><decoder_dir pattern=\".conf$\">d</decoder_dir></rules>").rules;
    assert_eq!(sources.entries[0].kind, RuleSourceKind::DecodersFolder(b".conf$".to_vec()));
    let decoders = sources.resolve(root.path()).unwrap().decoders;
    assert_eq!(decoders, [root.path().join("d/one.conf")]);
    let error = sources.resolve(&PathBuf::from("/no/such")).unwrap_err().to_string();
    let expected = "(1103) Could not open file '/no/such/d' due to [(2)-(No such file or directory)]. (ossec.conf line 2: expected a folder that can be read)";
    assert_eq!(error, expected);
}

#[test]
fn a_section_of_a_later_program_is_checked_and_kept() {
    let settings = read("<remote><connection>Secure</connection><port>1514</port></remote>");
    assert_eq!(settings.sections("remote").count(), 1);
    let said =
        refusals("<client><server-ip>nowhere</server-ip>\n<notify-time>9</notify-time></client>");
    assert!(said[0].starts_with("(1237) Invalid ip address: 'nowhere'."));
    assert!(said[1].contains("did you mean 'notify_time'?"), "{}", said[1]);
}

#[test]
fn hostile_texts_are_shortened_and_escaped_in_messages() {
    let said = refusals(&format!("<global><logall>\x1b[2J{}</logall></global>", "x".repeat(5_000)));
    assert!(said[0].starts_with("(1235) Invalid value for element 'logall': \\u{1b}[2Jxxx"));
    assert!(said[0].len() < 500);
}

#[test]
fn a_configuration_cut_or_changed_anywhere_is_read_or_refused() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../etc/ossec-local.conf");
    let text = fs::read(path).unwrap();
    for end in (0..text.len()).step_by(7) {
        let _ = settings::parse(&text[..end], Path::new("x"));
    }
    let mut seed = 1_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for _ in 0..1_000 {
        let mut changed = text.clone();
        for _ in 0..4 {
            let at = next(changed.len());
            changed[at] = b"<>/=\"x1, *\0\xff"[next(12)];
        }
        let _ = settings::parse(&changed, Path::new("x"));
    }
}

#[test]
fn rootcheck_is_absent_or_complete() {
    assert!(!read("<global><logall>no</logall></global>").rootcheck.present);
    let read = read(
        "<rootcheck>\n<frequency>60</frequency>\n<base_directory>/srv/x/</base_directory>\n\
         <rootkit_files>etc/shared/f.txt</rootkit_files>\n<system_audit>/p1</system_audit>\n\
         <system_audit>p2</system_audit>\n<ignore>/var/log</ignore>\n<check_ports>no</check_ports>\n\
         <scanall>yes</scanall>\n<suid_quarantine>yes</suid_quarantine>\n<check_sys>maybe</check_sys>\n\
         <windows_apps>./x</windows_apps></rootcheck>",
    );
    assert_eq!(warnings(&read).len(), 1, "{:?}", warnings(&read));
    let expected = Rootcheck {
        present: true,
        frequency: Duration::from_secs(60),
        base_directory: PathBuf::from("/srv/x"),
        rootkit_files: Some(PathBuf::from("etc/shared/f.txt")),
        system_audit: vec![PathBuf::from("/p1"), PathBuf::from("p2")],
        ignore: vec![PathBuf::from("/var/log")],
        scanall: true,
        suid_quarantine: true,
        checks: Checks { ports: false, ..Checks::ALL },
        ..Rootcheck::default()
    };
    assert_eq!(read.rootcheck, expected);
}

#[test]
fn what_is_wrong_in_rootcheck_is_told_with_its_line() {
    let refused = refusals(
        "<rootcheck>\n<check_prots>no</check_prots>\n<frequency>0</frequency>\n\
         <base_directory>srv</base_directory>\n<rootkit_files> </rootkit_files></rootcheck>",
    );
    assert_eq!(refused.len(), 4, "{refused:?}");
    assert!(refused[0].contains("line 3") && refused[0].contains("did you mean 'check_ports'?"));
    assert!(refused[1].starts_with("(1235)") && refused[1].contains("line 4"));
    assert!(refused[2].starts_with("(1235)") && refused[2].contains("line 5"));
    assert!(refused[3].starts_with("(1234)") && refused[3].contains("line 6"));
}
