//! The Cloud Elements API without its routes: what requests, configurations and answers mean. Pure; nothing here calls
//! anybody.

pub mod date_format;
pub mod zone;
