//! Enrolment texts of both sides.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::enroll::{Answer, KeyLine, Question};

fuzz_target!(|bytes: &[u8]| {
    for password in [None, Some(&b"sekret"[..])] {
        if let Ok(question) = Question::parse(bytes, password) {
            let mut again = Vec::new();
            question.write(&mut again);
            assert_eq!(Question::parse(&again, password), Ok(question));
        }
    }
    if let Ok(answer) = Answer::parse(bytes) {
        let mut again = Vec::new();
        answer.write(&mut again);
        assert_eq!(Answer::parse(&again), Ok(answer));
        if let Answer::Key(line) = answer {
            let _ = KeyLine::parse(line);
        }
    }
});
