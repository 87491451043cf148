//! A real, headless browser, driven over the DevTools protocol.

use std::{path::PathBuf, time::Duration};

use chromiumoxide::{
    Browser, BrowserConfig, Page,
    auth::Credentials,
    cdp::browser_protocol::{
        emulation::{
            MediaFeature, SetDeviceMetricsOverrideParams, SetScriptExecutionDisabledParams, SetTimezoneOverrideParams,
        },
        page::CaptureScreenshotFormat,
    },
    detection::{DetectionOptions, default_executable},
    page::ScreenshotParams,
};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::task::JoinHandle;

/// Far longer than any page takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Chromium {
    pub browser: Browser,
    handler: JoinHandle<()>,
    _profile: tempfile::TempDir,
}

impl Chromium {
    /// `None` if no browser is installed; with `CI=true` that is an error.
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
                "no-first-run",
                "disable-background-networking",
                "disable-component-update",
                "disable-sync",
                "force-color-profile=srgb",
                // A frame then runs in the process of its page, where a test can reach it; it is still cross-site.
                "disable-site-isolation-trials",
                "disable-features=IsolateOrigins,site-per-process",
                "test-third-party-cookie-phaseout",
            ])
            .build()
            .unwrap();
        let (browser, mut events) = Browser::launch(config).await.unwrap();
        let handler = tokio::spawn(async move { while events.next().await.is_some() {} });
        Some(Self { browser, handler, _profile: profile })
    }

    /// A tab that records violations of the pages' policies, and in which intervals run 60 times as fast.
    pub async fn tab(&self) -> Tab {
        let page = self.browser.new_page("about:blank").await.unwrap();
        page.evaluate_on_new_document(PRELUDE).await.unwrap();
        Tab(page)
    }

    pub async fn stop(mut self) {
        self.browser.close().await.unwrap();
        self.browser.wait().await.unwrap();
        self.handler.abort();
    }
}

const PRELUDE: &str = r"
    window.violations = [];
    document.addEventListener('securitypolicyviolation', event => violations.push(event.violatedDirective));
    Object.defineProperty(document, 'hidden', { get: () => false });
    const interval = window.setInterval;
    window.setInterval = (work, time) => interval(work, time / 60);
";

/// The value of a script in the page; null if it cannot be run, as while another page loads.
pub async fn evaluate(page: &Page, script: &str) -> Value {
    page.evaluate(script).await.ok().and_then(|answer| answer.value().cloned()).unwrap_or_default()
}

/// Waits until a script in the page returns true.
pub async fn until(page: &Page, script: &str) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while evaluate(page, script).await != Value::Bool(true) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    if waited.await.is_err() {
        panic!("never so: {script}: {}", evaluate(page, "document.body.innerText").await);
    }
}

/// The formula is that of WCAG 2.2, "contrast ratio".
const CONTRAST: &str = r"(() => {
    const rgba = text => text.match(/[\d.]+/g).map(Number);
    const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    // The browser's default background in light or dark mode, for pages without one of their own.
    const probe = document.body.appendChild(document.createElement('i'));
    probe.style.backgroundColor = 'Canvas';
    const canvas = rgba(getComputedStyle(probe).backgroundColor);
    probe.remove();
    const ground = e => { for (; e; e = e.parentElement) {
        const c = rgba(getComputedStyle(e).backgroundColor);
        if (c.length < 4 || c[3] === 1) return c;
    } return canvas; };
    const poor = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode.textContent.trim(), e = texts.currentNode.parentElement;
        if (!text || e.closest('svg, style, script') || !e.checkVisibility()) continue;
        const [a, b] = [light(rgba(getComputedStyle(e).color)), light(ground(e))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) poor.push(`${text}: ${ratio.toFixed(2)}`);
    }
    return poor;
})()";

/// Text that overlaps other text, is cut off or extends beyond the window; and a window that scrolls horizontally.
const MISPLACED: &str = r"(() => {
    const found = [], boxes = [];
    if (document.documentElement.scrollWidth > innerWidth)
        found.push(`the page is ${document.documentElement.scrollWidth} wide`);
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const node = texts.currentNode, e = node.parentElement;
        if (!node.textContent.trim() || e.closest('svg, style, script, .apart, option')) continue;
        if (!e.checkVisibility({visibilityProperty: true})) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        const scrolled = e.closest('.scroll');
        for (const box of range.getClientRects()) {
            if (box.width < 1 || box.height < 1) continue;
            const text = node.textContent.trim().slice(0, 40);
            if (!scrolled && (box.right > innerWidth + 1 || box.left < -1)) found.push(`out of the window: ${text}`);
            const holder = e.closest('section, .card, button');
            if (holder && !scrolled) {
                const frame = holder.getBoundingClientRect();
                if (box.right > frame.right + 1 || box.left < frame.left - 1) found.push(`out of its frame: ${text}`);
            }
            if (!scrolled) boxes.push([box, text, node]);
        }
    }
    boxes.forEach(([a, text, node], at) => {
        for (const [b, other, second] of boxes.slice(at + 1)) {
            const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
            const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
            if (node !== second && wide > 1 && high > Math.min(a.height, b.height) / 3)
                found.push(`on one another: ${text} | ${other}`);
        }
    });
    return found;
})()";

pub struct Tab(pub Page);

impl Tab {
    pub async fn size(&self, width: i64, height: i64) {
        let size = SetDeviceMetricsOverrideParams::new(width, height, 1.0, width < 600);
        self.0.execute(size).await.unwrap();
    }

    pub async fn dark(&self, dark: bool) {
        let scheme = MediaFeature::new("prefers-color-scheme", if dark { "dark" } else { "light" });
        self.0.emulate_media_features(vec![scheme]).await.unwrap();
    }

    pub async fn zone(&self, zone: &str) {
        self.0.execute(SetTimezoneOverrideParams::new(zone)).await.unwrap();
    }

    pub async fn without_script(&self, without: bool) {
        self.0.execute(SetScriptExecutionDisabledParams::new(without)).await.unwrap();
    }

    /// Answers the browser's password dialog.
    pub async fn password(&self, password: &str) {
        let typed = Credentials { username: "merchant".to_owned(), password: password.to_owned() };
        self.0.authenticate(typed).await.unwrap();
    }

    pub async fn open(&self, url: &str) {
        self.0.goto(url).await.unwrap();
    }

    /// Clicks the element that `selector` finds, and waits until another page has loaded.
    pub async fn click(&self, selector: &str) {
        self.evaluate("window.before = true").await;
        // While a page reloads itself, it has no elements for a moment.
        let began = std::time::Instant::now();
        loop {
            let clicked = match self.0.find_element(selector).await {
                Ok(element) => element.click().await.map(drop),
                Err(error) => Err(error),
            };
            match clicked {
                Ok(()) => break,
                Err(error) => assert!(began.elapsed() < PATIENCE, "{selector}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.until("window.before === undefined && document.readyState === 'complete'").await;
    }

    pub async fn evaluate(&self, script: &str) -> Value {
        evaluate(&self.0, script).await
    }

    pub async fn until(&self, script: &str) {
        until(&self.0, script).await;
    }

    /// Waits until the page contains this text.
    pub async fn says(&self, words: &str) {
        let words = serde_json::to_string(words).unwrap();
        self.until(&format!("document.body.innerText.includes({words})")).await;
    }

    /// The whole visible text.
    pub async fn text(&self) -> String {
        self.evaluate("document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    /// Every text with a contrast below 4.5 to 1, with its contrast.
    pub async fn poor_contrast(&self) -> Value {
        self.evaluate(CONTRAST).await
    }

    /// Everything on the page that overlaps, is cut off or extends beyond the window.
    pub async fn misplaced(&self) -> Value {
        self.evaluate(MISPLACED).await
    }

    /// Saves a picture of the full page among the build's files.
    pub async fn picture(&self, name: &str) {
        let whole = ScreenshotParams::builder().format(CaptureScreenshotFormat::Png).full_page(true).build();
        let picture = self.0.screenshot(whole).await.unwrap();
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pages");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), &picture).unwrap();
    }
}

/// Checks the page at three widths (desktop, phone, small phone), in light and dark mode.
pub async fn assert_sound(tab: &Tab, name: &str) {
    for (width, dark) in [(1280, false), (1280, true), (390, true), (390, false), (320, false), (320, true)] {
        tab.dark(dark).await;
        tab.size(width, 900).await;
        let light = if dark { "dark" } else { "light" };
        tab.picture(&format!("{name}-{width}-{light}")).await;
        let none = serde_json::json!([]);
        assert_eq!(tab.misplaced().await, none, "{name} at {width}, {light}");
        assert_eq!(tab.poor_contrast().await, none, "{name} at {width}, {light}");
    }
    assert_eq!(tab.evaluate("violations").await, serde_json::json!([]), "{name}");
}
