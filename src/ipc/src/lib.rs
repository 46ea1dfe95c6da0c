//! The two queues between daemons: datagram and acknowledged
