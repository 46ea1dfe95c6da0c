//! Queue datagrams and packets of the acknowledged queue.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::queue::Packet;

fuzz_target!(|bytes: &[u8]| {
    // One NUL at the end belongs to the datagram, so an event whose payload ends in another is not read back as it was.
    if let Ok(event) = wire::Event::parse(bytes)
        && !event.payload.ends_with(b"\0")
    {
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
