//! One engine for OSSEC's rule language: pre-decoding, decoders, rules, correlation
