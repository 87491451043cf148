//! What the servers of the control panel share: the registered app, the unused codes, and which stores have installed
//! it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, RwLock};

use url::form_urlencoded;

use super::app::{AppRegistration, InstallOptions, UninstallOptions, User};
use super::jwt::Jwt;
use crate::barrier::Barrier;
use crate::clock::system_clock;
use crate::fault::Faults;
use crate::http;
use crate::store::{ApiAccount, StoreFarm, StoreSim};

/// A code that has not been exchanged yet.
#[derive(Debug, Clone)]
pub(super) struct Code {
    client_id: String,
    store_hash: String,
    scopes: Vec<String>,
}

/// What a code was exchanged for.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) token: String,
    pub(super) scope: String,
    pub(super) store_hash: String,
}

pub(super) struct State {
    pub(super) farm: StoreFarm,
    pub(super) faults: Faults,
    pub(super) barrier: Barrier,
    login: SocketAddr,
    page: SocketAddr,
    client: reqwest::Client,
    app: RwLock<AppRegistration>,
    codes: Mutex<HashMap<String, Code>>,
    installed: Mutex<BTreeSet<String>>,
    external: Mutex<Vec<bool>>,
    exchanges: AtomicU64,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("login", &self.login).field("page", &self.page).finish_non_exhaustive()
    }
}

impl State {
    pub(super) fn new(farm: StoreFarm, app: AppRegistration, login: SocketAddr, page: SocketAddr) -> Self {
        Self {
            farm,
            faults: Faults::default(),
            barrier: Barrier::default(),
            login,
            page,
            client: http::client(),
            app: RwLock::new(app),
            codes: Mutex::default(),
            installed: Mutex::default(),
            external: Mutex::default(),
            exchanges: AtomicU64::new(0),
        }
    }

    pub(super) fn login_url(&self) -> String {
        format!("http://{}", self.login)
    }

    pub(super) fn page_origin(&self) -> String {
        format!("http://localhost:{}", self.page.port())
    }

    pub(super) fn app(&self) -> AppRegistration {
        self.app.read().expect("no holder of this lock panics").clone()
    }

    pub(super) fn register(&self, app: AppRegistration) {
        *self.app.write().expect("no holder of this lock panics") = app;
    }

    /// Issues a code, valid for one exchange, and returns the URL of the auth callback with it.
    pub(super) fn install_url(&self, store_hash: &str, options: &InstallOptions) -> String {
        let app = self.app();
        let scopes = options.scopes.clone().unwrap_or(app.scopes);
        let client_id = if options.of_other_client { "another-app".to_owned() } else { app.client_id };
        let code = format!("{:032x}", rand::random::<u128>());
        let scope = scopes.join(" ");
        let issued = Code { client_id, store_hash: store_hash.to_owned(), scopes };
        self.codes.lock().expect("no holder of this lock panics").insert(code.clone(), issued);
        let context = options.context.clone().unwrap_or_else(|| format!("stores/{store_hash}"));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("account_uuid", &account_uuid(store_hash));
        query.append_pair("code", &code).append_pair("context", &context).append_pair("scope", &scope);
        if options.external {
            query.append_pair("external_install", "true");
        }
        format!("{}?{}", app.auth_callback, query.finish())
    }

    pub(super) fn count_exchange(&self) {
        self.exchanges.fetch_add(1, Ordering::AcqRel);
        self.barrier.changed();
    }

    pub(super) fn exchanges(&self) -> u64 {
        self.exchanges.load(Ordering::Acquire)
    }

    /// Exchanges a code: the store has the app from now on, and the app's older token is revoked. `None` for a code
    /// that was used, never issued, or issued to another app.
    pub(super) fn exchange(&self, code: &str) -> Option<Grant> {
        let app = self.app();
        let issued = {
            let mut codes = self.codes.lock().expect("no holder of this lock panics");
            let is_own = codes.get(code).is_some_and(|issued| issued.client_id == app.client_id);
            if is_own { codes.remove(code) } else { None }
        }?;
        let store = self.farm.store(&issued.store_hash)?;
        let token = format!("app-token-{:032x}", rand::random::<u128>());
        let scope = issued.scopes.join(" ");
        let (client_id, client_secret) = (app.client_id, app.client_secret);
        store.grant(ApiAccount { client_id, client_secret, token: token.clone(), scopes: issued.scopes });
        self.installed.lock().expect("no holder of this lock panics").insert(issued.store_hash.clone());
        self.barrier.changed();
        Some(Grant { token, scope, store_hash: issued.store_hash })
    }

    pub(super) fn expire_codes(&self) {
        self.codes.lock().expect("no holder of this lock panics").clear();
    }

    pub(super) fn is_installed(&self, store_hash: &str) -> bool {
        self.installed.lock().expect("no holder of this lock panics").contains(store_hash)
    }

    pub(super) fn external_outcomes(&self) -> Vec<bool> {
        self.external.lock().expect("no holder of this lock panics").clone()
    }

    pub(super) fn add_external_outcome(&self, success: bool) {
        self.external.lock().expect("no holder of this lock panics").push(success);
        self.barrier.changed();
    }

    pub(super) fn jwt(&self, store_hash: &str, user: &User) -> Jwt {
        let app = self.app();
        Jwt::new(&app.client_id, &app.client_secret, store_hash, user, system_clock())
    }

    pub(super) async fn uninstall(&self, store: &StoreSim, options: UninstallOptions) -> reqwest::Result<Option<u16>> {
        let (app, hash) = (self.app(), &store.config().hash);
        self.installed.lock().expect("no holder of this lock panics").remove(hash);
        store.revoke(&app.client_id);
        if !options.keep_hooks {
            store.remove_hooks_of(&app.client_id);
        }
        self.barrier.changed();
        if options.silent {
            return Ok(None);
        }
        let url = with_payload(&app.uninstall_callback, &self.jwt(hash, &User::default()).sign());
        self.call(&url).await.map(Some)
    }

    /// Calls a callback as BigCommerce's servers do; returns the status of the answer.
    pub(super) async fn call(&self, url: &str) -> reqwest::Result<u16> {
        let answer = self.client.get(url).send().await?;
        let status = answer.status().as_u16();
        answer.bytes().await?;
        Ok(status)
    }
}

/// The URL of a callback with its payload.
pub(super) fn with_payload(callback: &str, jwt: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("signed_payload_jwt", jwt).finish();
    format!("{callback}?{query}")
}

/// The UUID of the account that owns a store.
pub(super) fn account_uuid(store_hash: &str) -> String {
    format!("00000000-0000-4000-8000-{store_hash:0>12.12}")
}
