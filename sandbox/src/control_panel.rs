//! BigCommerce's side of a single-click app: the login server that exchanges codes for tokens, the signed payloads of
//! the callbacks, uninstalling, and a control panel page that shows the app in a frame and is served from another
//! origin than the relay. The stores are those of a [`StoreFarm`].

mod app;
mod jwt;
mod login;
mod pages;
mod state;

use std::io;
use std::sync::Arc;

use actix_web::web;

use crate::controls::controls;
use crate::http::{self, Server};
use crate::store::{StoreFarm, StoreSim};

pub use app::{AppRegistration, InstallOptions, UninstallOptions, User};
pub use jwt::Jwt;
use state::State;

/// A running control panel and login server. Clones share them; they stop with [`ControlPanelSim::stop`], or when the
/// last clone is dropped.
#[derive(Debug, Clone)]
pub struct ControlPanelSim {
    state: Arc<State>,
    servers: Arc<[Server; 2]>,
}

controls!(ControlPanelSim, "of the login server, of [`Operation::Token`](crate::Operation::Token)");

impl ControlPanelSim {
    /// Starts both for these stores and this app. The relay needs [`Self::login_url`] before its own address is known:
    /// set its callbacks with [`Self::register`] afterwards.
    ///
    /// # Errors
    /// No port is available.
    pub fn start(farm: &StoreFarm, app: AppRegistration) -> io::Result<Self> {
        let (login, login_address) = http::listen()?;
        let (page, page_address) = http::listen()?;
        let state = Arc::new(State::new(farm.clone(), app, login_address, page_address));
        let serve = |listener, routes: fn(&mut web::ServiceConfig)| {
            let shared = web::Data::from(Arc::clone(&state));
            Server::start(listener, 1, move |app| {
                app.app_data(shared.clone()).configure(routes);
            })
        };
        let servers = Arc::new([serve(login, login::routes)?, serve(page, pages::routes)?]);
        Ok(Self { state, servers })
    }

    /// Stops serving.
    pub async fn stop(&self) {
        for server in self.servers.iter() {
            server.stop().await;
        }
    }

    /// The address that stands in for `https://login.bigcommerce.com`.
    pub fn login_url(&self) -> String {
        self.state.login_url()
    }

    /// The control panel's origin, for `BIGCOMMERCE_APP_FRAME_ANCESTORS`. Its host is `localhost`, so that it is
    /// another site than a relay on `127.0.0.1`.
    pub fn page_origin(&self) -> String {
        self.state.page_origin()
    }

    /// The control panel page of a store.
    pub fn page_url(&self, store: &StoreSim) -> String {
        format!("{}/store/{}", self.page_origin(), store.config().hash)
    }

    /// The app as it is registered now.
    pub fn app(&self) -> AppRegistration {
        self.state.app()
    }

    /// Changes the registration, as in the Developer Portal: it takes effect at once, for all stores.
    pub fn register(&self, app: AppRegistration) {
        self.state.register(app);
    }

    /// Registers the callbacks of a relay with this `PUBLIC_URL`.
    pub fn register_relay(&self, public_url: &str) {
        self.register(self.app().with_relay(public_url));
    }
}

/// Installing.
impl ControlPanelSim {
    /// Where the browser is sent when a merchant installs the app and confirms the scopes: the auth callback with a
    /// fresh code.
    pub fn install_url(&self, store: &StoreSim) -> String {
        self.install_url_with(store, &InstallOptions::default())
    }

    /// Like [`Self::install_url`], with the changes in `options`.
    pub fn install_url_with(&self, store: &StoreSim, options: &InstallOptions) -> String {
        self.state.install_url(&store.config().hash, options)
    }

    /// Where an install outside the control panel begins, from a page of the app's maker. It redirects the browser to
    /// the auth callback with `external_install`.
    pub fn external_install_url(&self, store: &StoreSim) -> String {
        let client_id = self.app().client_id;
        format!("{}/app/{client_id}/install?store={}", self.login_url(), store.config().hash)
    }

    /// Whether each external install was reported as a success, in order.
    pub fn external_outcomes(&self) -> Vec<bool> {
        self.state.external_outcomes()
    }

    /// Lets every unused code expire.
    pub fn expire_codes(&self) {
        self.state.expire_codes();
    }

    /// How many exchanges were requested, successful or not.
    pub fn exchanges(&self) -> u64 {
        self.state.exchanges()
    }

    /// Whether the store has the app: a code was exchanged, and it has not been uninstalled since.
    pub fn is_installed(&self, store: &StoreSim) -> bool {
        self.state.is_installed(&store.config().hash)
    }
}

/// Opening and uninstalling.
impl ControlPanelSim {
    /// The payload of the load callback when this user opens the app, to be signed as it is or altered first.
    pub fn jwt(&self, store: &StoreSim, user: &User) -> Jwt {
        self.state.jwt(&store.config().hash, user)
    }

    /// The URL that the frame opens when the user opens the app.
    pub fn load_url(&self, store: &StoreSim, user: &User) -> String {
        self.load_url_with(&self.jwt(store, user).sign())
    }

    /// The URL of the load callback with this payload, valid or not.
    pub fn load_url_with(&self, jwt: &str) -> String {
        state::with_payload(&self.app().load_callback, jwt)
    }

    /// The URL of the uninstall callback with this payload, valid or not.
    pub fn uninstall_url_with(&self, jwt: &str) -> String {
        state::with_payload(&self.app().uninstall_callback, jwt)
    }

    /// Uninstalls the app: revokes its token, removes its hooks and calls the uninstall callback. Returns the status of
    /// the answer.
    ///
    /// # Errors
    /// The callback could not be called; the app is uninstalled nevertheless.
    pub async fn uninstall(&self, store: &StoreSim) -> reqwest::Result<u16> {
        let status = self.uninstall_with(store, UninstallOptions::default()).await?;
        Ok(status.unwrap_or_default())
    }

    /// Like [`Self::uninstall`], with parts left out. `None` if the callback was not called.
    ///
    /// # Errors
    /// The callback could not be called.
    pub async fn uninstall_with(&self, store: &StoreSim, options: UninstallOptions) -> reqwest::Result<Option<u16>> {
        self.state.uninstall(store, options).await
    }

    /// Removes the app's hooks after an uninstall that kept them. Returns how many there were.
    pub fn remove_hooks(&self, store: &StoreSim) -> usize {
        store.remove_hooks_of(&self.app().client_id)
    }

    /// Calls the remove-user callback for this user; returns the status of the answer.
    ///
    /// # Errors
    /// It could not be called.
    pub async fn remove_user(&self, store: &StoreSim, user: &User) -> reqwest::Result<u16> {
        let url = state::with_payload(&self.app().remove_user_callback, &self.jwt(store, user).sign());
        self.state.call(&url).await
    }
}
