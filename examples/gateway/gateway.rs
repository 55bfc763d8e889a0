//! The running gateway: it applies a configuration, at the start and again while it runs.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use equipoise::proxy::{Tunnels, server::ServerLimits};
use futures::future::join_all;
use tokio::{task::JoinSet, time};
use toml::Spanned;

use crate::{
    admin::{Admin, ListenerState, Running, State},
    backend::Backend,
    config::Config,
    front::Front,
    listening::{Bound, Listening},
    secrets::{Keys, Secrets},
    site::Site,
    source::{ConfigError, Source},
};

/// The maximum time for tunnels to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A configuration that is valid, as far as this can be known without opening sockets.
pub(crate) struct Checked {
    pub(crate) config: Config,
    source: Source,
    secrets: Secrets,
    pools: BTreeMap<String, Backend>,
}

impl Checked {
    /// Reads a file for the gateway that will apply it.
    pub(crate) fn read(file: &Path, gateway: &Gateway) -> Result<Self, ConfigError> {
        let source = Source::read(file)?;
        let config: Config = source.parse()?;
        let (secrets, state) = (gateway.keys.read(config.secret_file.as_ref(), &source)?, gateway.running.state());
        let mut pools = BTreeMap::new();
        for (name, table) in &config.pool {
            let pool = Backend::new(table, state.pools.get(name), &secrets, &source)?;
            pools.insert(name.clone(), pool);
        }
        let mut known: Vec<_> =
            config.admin.iter().map(|admin| *admin.bind.get_ref()).filter(|bind| bind.port() != 0).collect();
        if config.listener.get_ref().is_empty() {
            let message = "the gateway has no listener: add [[listener]] with the keys bind and pool";
            return Err(source.error(config.listener.span(), message));
        }
        for listener in config.listener.get_ref() {
            let (bind, span) = (*listener.bind.get_ref(), listener.bind.span());
            if let Some(other) = known.iter().find(|other| overlap(**other, bind)) {
                let message = match *other == bind {
                    true => format!("{bind} is used twice: give each listener another address"),
                    false => format!("{bind} overlaps {other}: connections to one would also be those of the other"),
                };
                return Err(source.error(span, message));
            }
            known.push(bind);
            Site::new(listener, config.log.access, &pools, &Tunnels::new(), &source)?;
        }
        Ok(Self { config, source, secrets, pools })
    }
}

/// Returns whether two sockets could get the same connections. `[::]` has those of all addresses, also of IPv4.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |all: IpAddr, ip: IpAddr| all.is_unspecified() && (all.is_ipv6() || ip.is_ipv4());
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one == other || one.port() == other.port() && one.port() != 0 && (a == b || covers(a, b) || covers(b, a))
}

pub(crate) struct Gateway {
    /// Whether other processes may listen on the same addresses.
    shares_ports: bool,
    running: Arc<Running>,
    listeners: Vec<Listening<Front>>,
    admin: Option<Listening<Admin>>,
    keys: Keys,
    /// The shutdowns of listeners and admin interfaces that reloads have removed.
    removed: JoinSet<()>,
    tunnels: Tunnels,
    shutdown_timeout: Duration,
}

impl Gateway {
    /// Creates a gateway that serves nothing yet. If `shares_ports` is true, other gateways that share their ports may
    /// listen on the same addresses.
    pub(crate) fn new(shares_ports: bool) -> Self {
        Self {
            shares_ports,
            running: Arc::default(),
            listeners: Vec::new(),
            admin: None,
            keys: Keys::new(),
            removed: JoinSet::new(),
            tunnels: Tunnels::new(),
            shutdown_timeout: Duration::ZERO,
        }
    }

    /// Applies a configuration. Listeners that stay keep their sockets and connections, and pools that stay keep the
    /// state of their endpoints. If it fails, nothing has changed.
    pub(crate) fn apply(&mut self, new: Checked) -> Result<(), ConfigError> {
        let Checked { config, source, secrets, mut pools } = new;
        let (running, mut losses) = (Arc::clone(&self.running), Vec::new());
        // A command would be lost if it reached a pool that is being replaced.
        let _no_commands = running.hold_commands();
        let state = running.state();
        for (name, pool) in &pools {
            let Some(old) = state.pools.get(name) else { continue };
            if !pool.continues(old) {
                pool.take_over(old, &source)?;
            }
            losses.extend(pool.loss(old).map(|loss| format!("pool {name} {loss}")));
        }
        let mut sites = Vec::new();
        for listener in config.listener.get_ref() {
            let site = Site::new(listener, config.log.access, &pools, &self.tunnels, &source)?;
            sites.push((*listener.bind.get_ref(), site));
        }
        let (mut sockets, admin_socket) = self.open(&config, &source)?;

        // From here on, nothing fails.
        self.keys.rotate(secrets);
        for loss in losses {
            tracing::warn!("{loss}");
        }
        for (name, pool) in &mut pools {
            // The check of the configuration has given the same endpoints to a pool with the same strategy.
            if let Err(error) = pool.apply(&source) {
                tracing::error!("pool {name} keeps its endpoints: {error}");
            }
        }
        let mut listeners = Vec::new();
        for (bind, site) in sites {
            if let Some(at) = self.listeners.iter().position(|listening| listening.configured == bind) {
                let listening = self.listeners.swap_remove(at);
                listening.set_limits(site.limits.clone());
                listening.service.replace(site);
                listeners.push(listening);
            } else if let Some(socket) = sockets.remove(&bind) {
                let limits = site.limits.clone();
                listeners.push(Listening::start(bind, socket, Front::new(site), limits));
            }
        }
        let removed = std::mem::replace(&mut self.listeners, listeners);
        let admin = config.admin.as_ref().map(|admin| *admin.bind.get_ref());
        let removed_admin = self.admin.take_if(|running| Some(running.configured) != admin);
        if let Some((bind, socket)) = admin.zip(admin_socket) {
            let admin = Admin::new(Arc::clone(&self.running));
            self.admin = Some(Listening::start(bind, socket, admin, ServerLimits::new().max_connections(64)));
        }
        self.shutdown_timeout = config.shutdown_timeout;
        let listeners = self.listeners.iter().map(|listening| ListenerState {
            bind: listening.configured,
            front: listening.service.clone(),
            stats: Box::new(listening.stats()),
        });
        running.replace(State { text: source.text, pools, listeners: listeners.collect() });
        // A set keeps tasks that have ended until they are joined.
        while self.removed.try_join_next().is_some() {}
        for listening in removed {
            self.removed.spawn(listening.shutdown(config.shutdown_timeout));
        }
        if let Some(admin) = removed_admin {
            self.removed.spawn(admin.shutdown(config.shutdown_timeout));
        }
        Ok(())
    }

    /// Opens the sockets of a configuration that are not open yet: those of the listeners, and that of the admin
    /// interface.
    fn open(
        &self,
        config: &Config,
        source: &Source,
    ) -> Result<(BTreeMap<SocketAddr, Bound>, Option<Bound>), ConfigError> {
        let stays =
            |running: SocketAddr| config.listener.get_ref().iter().any(|listener| *listener.bind.get_ref() == running);
        let admin_stays = |running| config.admin.as_ref().is_some_and(|admin| *admin.bind.get_ref() == running);
        let listeners = self.listeners.iter().filter(|running| !stays(running.configured));
        let admin = self.admin.iter().filter(|running| !admin_stays(running.configured));
        let leaving: Vec<_> = listeners
            .map(|running| (running.configured, running.socket()))
            .chain(admin.map(|running| (running.configured, running.socket())))
            .collect();
        let open = |address: &Spanned<SocketAddr>| {
            let bind = *address.get_ref();
            let same: Vec<_> =
                leaving.iter().filter(|(other, _)| overlap(*other, bind)).map(|(_, socket)| *socket).collect();
            let socket = match self.shares_ports || same.is_empty() {
                true => Bound::new(bind, self.shares_ports),
                false => Bound::beside(&same, bind),
            };
            socket.map_err(|error| source.error(address.span(), format_args!("cannot listen on {bind}: {error}")))
        };
        let mut sockets = BTreeMap::new();
        for bind in config.listener.get_ref().iter().map(|listener| &listener.bind) {
            if self.listeners.iter().all(|running| running.configured != *bind.get_ref()) {
                sockets.insert(*bind.get_ref(), open(bind)?);
            }
        }
        let admin = config.admin.as_ref().map(|admin| &admin.bind);
        let is_new = |bind: &&Spanned<SocketAddr>| {
            self.admin.as_ref().is_none_or(|running| running.configured != *bind.get_ref())
        };
        Ok((sockets, admin.filter(is_new).map(open).transpose()?))
    }

    /// Accepts no more connections, and waits until the requests in flight and the tunnels have ended, for the
    /// configured time in all. Shortly before its end, it closes the tunnels. Then it aborts the requests.
    pub(crate) async fn shutdown(self) {
        let Self { listeners, admin, mut removed, tunnels, shutdown_timeout: timeout, .. } = self;
        // First, so that commands go to a process that takes the ports over.
        if let Some(admin) = admin {
            admin.shutdown(Duration::ZERO).await;
        }
        let ended = async {
            let listeners = join_all(listeners.into_iter().map(|listening| listening.shutdown(timeout)));
            // Reloads may have given removed listeners more time.
            let removed = time::timeout(timeout, async { while removed.join_next().await.is_some() {} });
            let _ = tokio::join!(listeners, removed);
            tunnels.closed().await;
        };
        // Not at the deadline: a tunnel over HTTP/2 is a stream, and would be aborted with its connection.
        let close = async {
            time::sleep(timeout - CLOSE_TIMEOUT.min(timeout / 10)).await;
            tunnels.close();
            std::future::pending::<()>().await;
        };
        tokio::select! { () = ended => {}, () = close => {} }
    }
}
