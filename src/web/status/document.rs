//! The frame of every page: head, style, script, and the headers that keep other sites out.

use std::sync::LazyLock;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::texts::ENGLISH;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// The style of pages with one message: anybody can request them, so they are kept small.
const PLAIN_STYLE: &str = "body{margin:0;font:16px/1.5 system-ui,sans-serif}main{max-width:38rem;margin:12vh auto;\
    padding:0 1rem}h1{font-size:1.5rem}a{color:LinkText}";

/// A white check mark on green, visible in light and dark tab bars.
const ICON: &str = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'><rect width='32' height='32' rx='7' fill='#17683a'/><path d='M9 16.5l5 5 9-10' fill='none' stroke='#fff' stroke-width='3.4' stroke-linecap='round' stroke-linejoin='round'/></svg>";

static ICON_URL: LazyLock<String> = LazyLock::new(|| format!("data:image/svg+xml;base64,{}", STANDARD.encode(ICON)));

static SOURCES: LazyLock<String> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; style-src 'sha256-{}' 'sha256-{}'; script-src 'sha256-{}'; img-src data:; connect-src 'self'; base-uri 'none'",
        hash(STYLE),
        hash(PLAIN_STYLE),
        hash(SCRIPT)
    )
});

/// Which sites may embed a page in a frame, and where its forms may lead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Frame<'a> {
    /// No site may; forms lead back to the relay.
    #[default]
    None,
    /// No site may; a form may be answered by a redirect to a shop (browsers apply `form-action` to redirects too).
    ToShops,
    /// These ancestors, as `BIGCOMMERCE_APP_FRAME_ANCESTORS` lists them; forms lead back to the relay.
    App(&'a [String]),
}

impl Frame<'_> {
    fn policy(self) -> String {
        let (forms, ancestors) = match self {
            Self::None => ("'self'", "'none'".to_owned()),
            Self::ToShops => ("'self' https: http:", "'none'".to_owned()),
            Self::App(ancestors) => ("'self'", ancestors.join(" ")),
        };
        format!("{}; form-action {forms}; frame-ancestors {ancestors}", *SOURCES)
    }
}

/// A complete document.
pub(super) fn document(title: &str, content: &Markup) -> Markup {
    styled(title, content, STYLE, Some(SCRIPT))
}

fn styled(title: &str, content: &Markup, style: &str, script: Option<&str>) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="robots" content="noindex";
                title { (title) }
                link rel="icon" href=(*ICON_URL);
                style { (PreEscaped(style)) }
            }
            // What the script may have to say.
            body data-refused=[script.map(|_| ENGLISH.not_done)] data-unreachable=[script.map(|_| ENGLISH.unreachable)] {
                (content)
                @if let Some(script) = script { script { (PreEscaped(script)) } }
            }
        }
    }
}

/// An answer with all headers that keep other sites out. The relay's own pages send `same-origin`, since under
/// `no-referrer` browsers send `Origin: null` with a page's own forms; the app's pages use a token instead.
pub fn respond(status: StatusCode, page: &Markup, frame: Frame<'_>) -> HttpResponse {
    let referrer = if matches!(frame, Frame::App(_)) { "no-referrer" } else { "same-origin" };
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, frame.policy()))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::REFERRER_POLICY, referrer))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::VARY, "Accept"))
        .body(page.0.clone())
}

/// A page with one message: a title, sentences, and a link if there is one (its address and its text).
pub fn message(title: &str, sentences: &[&str], onward: Option<(&str, &str)>) -> Markup {
    let content = html! {
        main class="message" {
            h1 { (title) }
            @for sentence in sentences { p { (super::parts::prose(sentence)) } }
            @if let Some((to, words)) = onward { p { a href=(to) { (words) } } }
        }
    };
    styled(&format!("{title} · One Tribe relay"), &content, PLAIN_STYLE, None)
}

/// The page for a browser without the right password. Reveals nothing about the relay.
pub fn password_needed() -> Markup {
    message(ENGLISH.password, &[ENGLISH.password_what, ENGLISH.password_how, ENGLISH.password_again], None)
}
