//! What the single-click app needs around it: stores, their control panel and login server, One Tribe, the senders of
//! webhooks, and the relay that serves the app.

use std::{error::Error, io, path::Path, time::Duration};

use onetribe_relay::config::Config;

use crate::{
    AppRegistration, ControlPanelSim, OneTribeSim, Sender, SenderOptions, StoreFarm, StoreSim,
    relay::{Relay, free_port},
    stores,
};

/// The environment of a relay that serves the app of `panel` to the stores of `farm` and has no store of its own. It
/// allows payload URLs on loopback.
pub fn variables(panel: &ControlPanelSim, farm: &StoreFarm, folder: &Path, port: u16) -> Vec<(String, String)> {
    let app = panel.app();
    let own = [
        ("BIGCOMMERCE_APP_CLIENT_ID", app.client_id),
        ("BIGCOMMERCE_APP_CLIENT_SECRET", app.client_secret),
        ("BIGCOMMERCE_LOGIN_URL", panel.login_url()),
        ("BIGCOMMERCE_APP_FRAME_ANCESTORS", panel.page_origin()),
    ];
    let mut all = stores::variables(farm, folder, port);
    all.extend(own.map(|(name, value)| (name.to_owned(), value)));
    all
}

/// A relay with the app, and the simulators around it.
pub struct AppWorld {
    /// The stores.
    pub farm: StoreFarm,
    /// Their control panel, and the login server.
    pub panel: ControlPanelSim,
    /// The simulated One Tribe.
    pub sink: OneTribeSim,
    /// The port that the relay listens on; it stays the same across restarts.
    pub port: u16,
    sender: Sender,
    relay: Option<Relay>,
    extra: Vec<(String, String)>,
}

impl AppWorld {
    /// Starts everything with this many stores, none of which has installed the app. The relay's database is in
    /// `folder`.
    ///
    /// # Errors
    /// No port is available, or the relay does not start with this configuration.
    pub async fn start(stores: usize, folder: &Path) -> Result<Self, Box<dyn Error>> {
        Self::start_with(stores, folder, &[]).await
    }

    /// Like [`Self::start`], with the relay on this port.
    ///
    /// # Errors
    /// Those of [`Self::start`].
    pub async fn start_on(port: u16, stores: usize, folder: &Path) -> Result<Self, Box<dyn Error>> {
        Self::build(port, stores, folder, &[]).await
    }

    /// Like [`Self::start`], with further variables for the relay.
    ///
    /// # Errors
    /// Those of [`Self::start`].
    pub async fn start_with(stores: usize, folder: &Path, extra: &[(&str, &str)]) -> Result<Self, Box<dyn Error>> {
        Self::build(free_port()?, stores, folder, extra).await
    }

    async fn build(port: u16, stores: usize, folder: &Path, extra: &[(&str, &str)]) -> Result<Self, Box<dyn Error>> {
        let (farm, sink) = (StoreFarm::start(stores)?, OneTribeSim::start()?);
        let panel = ControlPanelSim::start(&farm, AppRegistration::default())?;
        panel.register_relay(&format!("http://127.0.0.1:{port}"));
        let options = SenderOptions { time_factor: 0.01, ..SenderOptions::default() };
        let sender = Sender::start_for(&farm.stores(), options);
        let extra = extra.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut world = Self { farm, panel, sink, port, sender, relay: None, extra };
        world.start_relay(folder).await?;
        Ok(world)
    }

    /// Starts the relay, or starts it again after [`Self::stop_relay`].
    ///
    /// # Errors
    /// The relay does not start with this configuration.
    pub async fn start_relay(&mut self, folder: &Path) -> Result<(), Box<dyn Error>> {
        let mut all = variables(&self.panel, &self.farm, folder, self.port);
        all.extend(self.extra.iter().cloned());
        self.relay = Some(Relay::start(Config::from_vars(all)?).await?);
        Ok(())
    }

    /// Stops only the relay.
    ///
    /// # Errors
    /// The relay had ended by itself.
    pub async fn stop_relay(&mut self) -> Result<(), Box<dyn Error>> {
        if let Some(relay) = self.relay.take() {
            relay.stop().await?;
        }
        Ok(())
    }

    /// The URL of `path` on the relay.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// One of the stores, counted from 1.
    ///
    /// # Errors
    /// There is no such store.
    pub fn store(&self, number: usize) -> io::Result<StoreSim> {
        self.farm.store(&format!("store{number}")).ok_or_else(|| io::Error::other(format!("no store {number}")))
    }

    /// Waits until every webhook so far has been acknowledged or given up.
    ///
    /// # Errors
    /// Some webhooks were not in time.
    pub async fn webhooks_told(&self, patience: Duration) -> Result<(), crate::TimedOut> {
        self.sender.idle(patience).await
    }

    /// Stops everything.
    ///
    /// # Errors
    /// The relay had ended by itself.
    pub async fn stop(mut self) -> Result<(), Box<dyn Error>> {
        self.sender.stop().await;
        if let Some(relay) = self.relay.take() {
            relay.stop().await?;
        }
        self.panel.stop().await;
        self.sink.stop().await;
        self.farm.stop().await;
        Ok(())
    }
}
