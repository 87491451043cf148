//! `alerts test`: posts one message to `ALERT_URL`.

use std::process::ExitCode;

use url::Url;

use super::{
    failure::{CommandError, ended},
    output,
};
use crate::{
    config::Settings,
    http::{AddressPolicy, Failure, Http},
    humanize,
    secret::Secret,
    watch::post_alert,
};

/// Posts one message, and reports whether it was accepted.
pub async fn test_alert(settings: &Settings) -> ExitCode {
    ended(posted(settings).await)
}

async fn posted(settings: &Settings) -> Result<(), CommandError> {
    let url = settings.alert_url.as_ref().map(Secret::expose).and_then(|url| Url::parse(url).ok());
    let Some(url) = url else {
        return Err(CommandError::usage("ALERT_URL is not set: nobody is alerted. Set it to the address of a webhook"));
    };
    let page = match &settings.public_url {
        Some(url) => format!(" The status page: {}/integration", url.as_str().trim_end_matches('/')),
        None => String::new(),
    };
    let text = format!("onetribe-relay: this is a test, nothing is wrong.{page}");
    let http = Http::new(AddressPolicy::default()).map_err(CommandError::failed)?;
    match post_alert(&http, url, &text).await {
        Ok(()) => output::line("The test alert was taken. Look whether it has arrived."),
        Err(error) => {
            let cure = match error.failure {
                Failure::Status(401 | 403 | 404 | 410) => "Is it still the webhook's address? Make a new one if not",
                Failure::Status(400 | 415 | 422) => "It has to take JSON of the form {\"text\": \"…\"}",
                _ => "Check its address, and whether this machine may call it",
            };
            let failure = humanize::failure(error.failure);
            Err(CommandError::failed(format_args!("ALERT_URL does not take the alert ({failure}). {cure}")))
        }
    }
}
