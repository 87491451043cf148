//! A real, headless browser, driven over the DevTools protocol.

use std::{path::PathBuf, time::Duration};

use chromiumoxide::{
    Browser, BrowserConfig, Page,
    auth::Credentials,
    cdp::browser_protocol::{
        emulation::{MediaFeature, SetDeviceMetricsOverrideParams},
        page::CaptureScreenshotFormat,
    },
    detection::{DetectionOptions, default_executable},
    page::ScreenshotParams,
};
use futures_util::StreamExt;
use tokio::task::JoinHandle;

/// Far longer than any page takes.
const PATIENCE: Duration = Duration::from_secs(40);

pub struct Chromium {
    browser: Browser,
    handler: JoinHandle<()>,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// `None` when no browser is installed; on a build server that is an error.
    pub async fn start() -> Option<Self> {
        let Ok(executable) = default_executable(DetectionOptions::default()) else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "no Chromium is installed, and CI is true");
            eprintln!("skipped: no Chromium is installed");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let config = BrowserConfig::builder()
            .chrome_executable(executable)
            .user_data_dir(profile.path())
            .no_sandbox()
            .disable_https_first()
            .viewport(None)
            .launch_timeout(PATIENCE)
            .request_timeout(PATIENCE)
            .args([
                "disable-gpu",
                "disable-quic",
                "no-first-run",
                "disable-background-networking",
                "disable-component-update",
                "disable-sync",
                "force-color-profile=srgb",
            ])
            .build()
            .unwrap();
        let (browser, mut events) = Browser::launch(config).await.unwrap();
        let handler = tokio::spawn(async move { while events.next().await.is_some() {} });
        Some(Self { browser, handler, _profile: profile })
    }

    pub async fn tab(&self) -> Tab {
        Tab(self.browser.new_page("about:blank").await.unwrap())
    }

    pub async fn stop(mut self) {
        self.browser.close().await.unwrap();
        self.browser.wait().await.unwrap();
        self.handler.abort();
    }
}

/// The formula is that of WCAG 2.2, "contrast ratio".
const CONTRAST: &str = r"(() => {
    const rgba = text => text.match(/[\d.]+/g).map(Number);
    const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const ground = e => { for (; e; e = e.parentElement) {
        const c = rgba(getComputedStyle(e).backgroundColor);
        if (c.length < 4 || c[3] === 1) return c;
    } return [255, 255, 255]; };
    const poor = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode.textContent.trim(), e = texts.currentNode.parentElement;
        if (!text || e.closest('svg, style')) continue;
        const [a, b] = [light(rgba(getComputedStyle(e).color)), light(ground(e))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) poor.push(`${text}: ${ratio.toFixed(2)}`);
    }
    return poor;
})()";

pub struct Tab(Page);

impl Tab {
    pub async fn size(&self, width: i64, height: i64) {
        let size = SetDeviceMetricsOverrideParams::new(width, height, 1.0, width < 600);
        self.0.execute(size).await.unwrap();
    }

    pub async fn dark(&self, dark: bool) {
        let scheme = MediaFeature::new("prefers-color-scheme", if dark { "dark" } else { "light" });
        self.0.emulate_media_features(vec![scheme]).await.unwrap();
    }

    /// What a person types when the browser asks.
    pub async fn password(&self, password: &str) {
        let typed = Credentials { username: "merchant".to_owned(), password: password.to_owned() };
        self.0.authenticate(typed).await.unwrap();
    }

    pub async fn open(&self, url: &str) {
        self.0.goto(url).await.unwrap();
    }

    /// Clicks what `selector` finds, and waits until another page is there.
    pub async fn click(&self, selector: &str) {
        self.evaluate("window.before = true").await;
        self.0.find_element(selector).await.unwrap().click().await.unwrap();
        self.changed().await;
    }

    /// Presses a key, and waits until another page is there.
    pub async fn press_and_go(&self, key: &str) {
        self.evaluate("window.before = true").await;
        self.press(key).await;
        self.changed().await;
    }

    /// Presses a key on whatever has the focus.
    pub async fn press(&self, key: &str) {
        self.0.find_element("body").await.unwrap().press_key(key).await.unwrap();
    }

    async fn changed(&self) {
        let asked = async {
            loop {
                // A page that leads on at once is not the one that was waited for.
                let script = "window.before === undefined && document.readyState === 'complete' \
                    && !document.querySelector('meta[http-equiv=refresh][content^=\"0;\"]')";
                if let Ok(answer) = self.0.evaluate(script).await
                    && answer.into_value::<bool>().unwrap_or(false)
                {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("another page comes");
    }

    pub async fn evaluate(&self, script: &str) -> serde_json::Value {
        self.0.evaluate(script).await.unwrap().value().cloned().unwrap_or_default()
    }

    /// The whole text as a person sees it.
    pub async fn text(&self) -> String {
        self.evaluate("document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    pub async fn title(&self) -> String {
        self.0.get_title().await.unwrap().unwrap_or_default()
    }

    pub async fn address(&self) -> String {
        self.0.url().await.unwrap().unwrap_or_default()
    }

    /// Every text that stands out from its ground by less than 4.5 to 1, with its contrast.
    pub async fn poor_contrast(&self) -> serde_json::Value {
        self.evaluate(CONTRAST).await
    }

    /// The page in full length, kept among the build's files for somebody to look at.
    pub async fn picture(&self, name: &str) -> Vec<u8> {
        let whole = ScreenshotParams::builder().format(CaptureScreenshotFormat::Png).full_page(true).build();
        let picture = self.0.screenshot(whole).await.unwrap();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("status-page");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), &picture).unwrap();
        picture
    }
}
