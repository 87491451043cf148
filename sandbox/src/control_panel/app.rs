//! What is registered in the Developer Portal, and what a person chooses on installing, opening and uninstalling.

/// An app as the Developer Portal has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppRegistration {
    /// Public.
    pub client_id: String,
    /// Signs payloads and webhooks of all stores.
    pub client_secret: String,
    /// As merchants see it.
    pub name: String,
    /// What its tokens may do.
    pub scopes: Vec<String>,
    /// Where a browser brings the code of an install.
    pub auth_callback: String,
    /// What the frame opens.
    pub load_callback: String,
    /// Told of the end.
    pub uninstall_callback: String,
    /// Told of a user who may no longer open the app.
    pub remove_user_callback: String,
}

impl Default for AppRegistration {
    /// The relay's app, its callbacks not registered yet.
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
    /// With the callbacks of a relay that is reached here.
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
    /// BigCommerce's number.
    pub id: i64,
    /// Told to apps, and to be kept by none.
    pub email: String,
    /// BCP 47.
    pub locale: String,
}

impl Default for User {
    /// The store's owner.
    fn default() -> Self {
        Self { id: 9_876_543, email: "olivia.owner@example.com".to_owned(), locale: "en-US".to_owned() }
    }
}

impl User {
    /// Somebody else than the owner.
    pub fn other() -> Self {
        Self { id: 1_234_567, email: "ulf.user@example.com".to_owned(), locale: "de-DE".to_owned() }
    }
}

/// What is unusual about an install.
#[derive(Debug, Clone, Default)]
pub struct InstallOptions {
    /// The scopes that are granted, if not the app's.
    pub scopes: Option<Vec<String>>,
    /// The `context` that the auth callback's query names, if not the store's own.
    pub context: Option<String>,
    /// Whether it began outside the control panel.
    pub external: bool,
    /// Issues the code to another app.
    pub of_other_client: bool,
}

/// What is left out of an uninstall.
#[derive(Debug, Clone, Copy, Default)]
pub struct UninstallOptions {
    /// The hooks stay for now, since BigCommerce removes them in its own time.
    pub keep_hooks: bool,
    /// Nobody is told, as when the relay was down.
    pub silent: bool,
}
