//! What is registered in the Developer Portal, and the options of installing, opening and uninstalling.

/// An app as registered in the Developer Portal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRegistration {
    /// The client id, which is public.
    pub client_id: String,
    /// Signs the payloads and webhooks of all stores.
    pub client_secret: String,
    /// The name that merchants see.
    pub name: String,
    /// The OAuth scopes of its tokens.
    pub scopes: Vec<String>,
    /// Receives the browser with the code of an install.
    pub auth_callback: String,
    /// Opened in the frame.
    pub load_callback: String,
    /// Called after an uninstall.
    pub uninstall_callback: String,
    /// Called when a user loses the right to open the app.
    pub remove_user_callback: String,
}

impl Default for AppRegistration {
    /// The relay's app, without callbacks yet.
    fn default() -> Self {
        Self {
            client_id: "sandboxapp".to_owned(),
            client_secret: "sandbox-app-client-secret".to_owned(),
            name: "One Tribe".to_owned(),
            scopes: ["store_v2_orders_read_only", "store_v2_information_read_only"].map(str::to_owned).to_vec(),
            auth_callback: String::new(),
            load_callback: String::new(),
            uninstall_callback: String::new(),
            remove_user_callback: String::new(),
        }
    }
}

impl AppRegistration {
    /// Sets the callbacks to those of a relay with this `PUBLIC_URL`.
    #[must_use]
    pub fn with_relay(mut self, public_url: &str) -> Self {
        let callback = |name: &str| format!("{}/bigcommerce/{name}", public_url.trim_end_matches('/'));
        self.auth_callback = callback("auth");
        self.load_callback = callback("load");
        self.uninstall_callback = callback("uninstall");
        self.remove_user_callback = callback("remove-user");
        self
    }
}

/// A person with access to a store's control panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's id at BigCommerce.
    pub id: i64,
    /// Passed on to apps; the relay must not store it.
    pub email: String,
    /// A language tag (BCP 47).
    pub locale: String,
}

impl Default for User {
    /// The store's owner.
    fn default() -> Self {
        Self { id: 9_876_543, email: "olivia.owner@example.com".to_owned(), locale: "en-US".to_owned() }
    }
}

impl User {
    /// A user other than the owner.
    pub fn other() -> Self {
        Self { id: 1_234_567, email: "ulf.user@example.com".to_owned(), locale: "de-DE".to_owned() }
    }
}

/// What is unusual about an install.
#[derive(Debug, Clone, Default)]
pub struct InstallOptions {
    /// The scopes that the merchant grants; `None` for the app's.
    pub scopes: Option<Vec<String>>,
    /// The `context` in the query of the auth callback; `None` for the store's own.
    pub context: Option<String>,
    /// Whether the install began outside the control panel.
    pub external: bool,
    /// Issues the code to another app.
    pub of_other_client: bool,
}

/// What an uninstall leaves out.
#[derive(Debug, Clone, Copy, Default)]
pub struct UninstallOptions {
    /// The hooks stay for now: BigCommerce removes them some time later.
    pub keep_hooks: bool,
    /// The uninstall callback is not called, as if the relay were down.
    pub silent: bool,
}
