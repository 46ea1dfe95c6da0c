//! The three pattern languages of OSSEC rules: OS_Regex, OS_Match, PCRE2
