//! Decodes and judges events, writes alerts
