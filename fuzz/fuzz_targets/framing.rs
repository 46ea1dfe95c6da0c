//! Queue datagrams and packets of the acknowledged queue.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::queue::Packet;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(event) = wire::Event::parse(bytes) {
        let mut again = Vec::new();
        event.write(&mut again);
        assert_eq!(wire::Event::parse(&again), Ok(event));
    }
    if let Ok(Packet::Batch(batch)) = Packet::parse(bytes) {
        for event in batch.events() {
            let _ = event;
        }
    }
});
