//! OSSEC's XML dialect: any bytes end in elements or in an error with a line.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = xml::parse(bytes);
    let _ = xml::parse_with_variables(bytes);
});
