//! Records of package managers: dpkg's files, and what rpm answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use syscheckd::packages::dpkg::records;
use syscheckd::packages::rpm::answer;

fuzz_target!(|bytes: &[u8]| {
    // The first byte chooses the form.
    let Some((form, text)) = bytes.split_first() else { return };
    match form % 5 {
        0 => {
            let packages = records::status(text).expect("bytes in memory can be read");
            assert!(packages.keys().all(|name| !name.is_empty()));
        }
        1 => records::list(text, |path| assert!(!path.contains(&b'\n'))).expect("as above"),
        2 => assert!(records::md5sums(text).keys().all(|path| path.starts_with(b"/"))),
        3 => assert!(records::log(text).expect("as above").is_sorted()),
        _ => {
            let mut whole = 0;
            let read = answer::each(text, |package| {
                // A record is worth bytes: nothing is made of nothing.
                assert!(package.files.len() < text.len());
                whole += 1;
                Ok(())
            });
            // An answer is a sequence of packages: twice the same is twice as many.
            if read.is_ok() {
                let (twice, mut again) = ([text, text].concat(), 0);
                let read = answer::each(&*twice, |_| {
                    again += 1;
                    Ok(())
                });
                assert!(read.is_ok() && again == 2 * whole);
            }
        }
    }
});
