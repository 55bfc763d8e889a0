//! The running gateway: it applies a configuration, at the start and again while it runs.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    ops::Range,
    path::Path,
    sync::Arc,
    time::Duration,
};

use equipoise::{
    monitor::{Monitor, live::MonitorGuard},
    proxy::Tunnels,
};
use futures::future::join_all;
use tokio::{task::JoinSet, time};
use tower::util::BoxCloneSyncService;

use crate::{
    admin::{Access, Admin, ListenerState, Running, State, watched},
    backend::Backend,
    config::{Config, Listener},
    context::Context,
    functions::{self, CacheStores, CheckedFunctions, NewFunctions, PoolClients},
    listening::{Listening, Ready},
    plan::Plan,
    secrets::{Keys, Secrets},
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
    access: Access,
    functions: CheckedFunctions,
    /// What the listeners will serve, in the order of the file, with the places of their addresses.
    plans: Vec<(Plan, Range<usize>)>,
}

impl Checked {
    /// Reads a file for the gateway that will apply it.
    pub(crate) fn read(file: &Path, gateway: &Gateway) -> Result<Self, ConfigError> {
        let source = Source::read(file)?;
        let config = Config::read(&source)?;
        let (secrets, state) = (gateway.keys.read(config.secret_file.as_ref(), &source)?, gateway.running.state());
        let mut pools = BTreeMap::new();
        for (name, table) in &config.pool {
            let pool = Backend::new((name, table), state.pools.get(name), &secrets, &source)?;
            pools.insert(name.clone(), pool);
        }
        let access = config.admin.as_ref().map(|admin| Access::read(admin, &source)).transpose()?.unwrap_or_default();
        let mut plans = Vec::new();
        let functions = NewFunctions::new(&state.functions);
        let mut stores = CacheStores::new();
        for (name, table) in &config.cache {
            stores.insert(name.clone(), functions::store((name, table), &functions, &source)?);
        }
        let http = config.listeners.iter().filter_map(|listener| match listener {
            Listener::Http(listener) => Some(&**listener),
            _ => None,
        });
        let identity_fields = functions::identity_fields(http.clone(), &source)?;
        let protected_pools = functions::protected_pools(http);
        let context = Context {
            pools: &pools,
            tunnels: &gateway.tunnels,
            logs: config.log.access,
            functions: &functions,
            stores: &stores,
            clients: &gateway.clients,
            identity_fields: &identity_fields,
            protected_pools: &protected_pools,
            source: &source,
        };
        let admin = config.admin.iter().map(|admin| (*admin.bind.get_ref(), false));
        let mut known: Vec<_> = admin.filter(|(bind, _)| bind.port() != 0).collect();
        let mut http = 0;
        for listener in &config.listeners {
            let (bind, span, is_udp) = (*listener.bind().get_ref(), listener.bind().span(), listener.is_udp());
            let others = known.iter().filter(|(_, other)| *other == is_udp).map(|(other, _)| *other);
            if let Some(other) = others.into_iter().find(|other| overlap(*other, bind)) {
                let message = match other == bind {
                    true => format!("{bind} is used twice: give each listener another address"),
                    false => format!("{bind} overlaps {other}: connections to one would also be those of the other"),
                };
                return Err(source.error(span, message));
            }
            known.push((bind, is_udp));
            http += usize::from(matches!(listener, Listener::Http(_)));
            plans.push((Plan::new((listener, http), context)?, span));
        }
        let functions = functions.into_checked();
        Ok(Self { config, source, secrets, pools, access, functions, plans })
    }
}

/// Returns whether two sockets of the same kind could get the same connections. `[::]` has those of all addresses, also
/// of IPv4.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |all: IpAddr, ip: IpAddr| all.is_unspecified() && (all.is_ipv6() || ip.is_ipv4());
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one == other || one.port() == other.port() && one.port() != 0 && (a == b || covers(a, b) || covers(b, a))
}

pub(crate) struct Gateway {
    /// Whether other processes may listen on the same addresses.
    shares_ports: bool,
    running: Arc<Running>,
    /// `None` until a configuration has an admin interface.
    admin: Option<Admin>,
    /// Lets the monitor sample the pools and record their events. `None` until a configuration was applied.
    _monitoring: Option<MonitorGuard>,
    /// The listeners, and the admin interface.
    listening: Vec<Listening>,
    keys: Keys,
    /// The pools, for requests of functions.
    clients: PoolClients,
    /// The shutdowns of listeners that reloads have removed.
    removed: JoinSet<()>,
    tunnels: Tunnels,
    shutdown_timeout: Duration,
}

/// What a configuration makes of a listener.
enum Next {
    /// A running listener does what is planned, with the same socket.
    Stays(Plan),
    Starts(Ready),
}

impl Gateway {
    /// Creates a gateway that serves nothing yet. If `shares_ports` is true, other gateways that share their ports may
    /// listen on the same addresses.
    pub(crate) fn new(shares_ports: bool) -> Self {
        let running = Arc::<Running>::default();
        running.monitor.build_info("gateway", env!("CARGO_PKG_VERSION"));
        Self {
            shares_ports,
            running,
            admin: None,
            _monitoring: None,
            listening: Vec::new(),
            keys: Keys::new(),
            clients: PoolClients::default(),
            removed: JoinSet::new(),
            tunnels: Tunnels::new(),
            shutdown_timeout: Duration::ZERO,
        }
    }

    /// Applies a configuration. Listeners that stay keep their sockets and connections, and pools that stay keep the
    /// state of their endpoints. If it fails, nothing has changed.
    pub(crate) fn apply(&mut self, new: Checked) -> Result<(), ConfigError> {
        let (running, mut losses) = (Arc::clone(&self.running), Vec::new());
        // A command would be lost if it reached a pool that is being replaced.
        let _no_commands = running.hold_commands();
        let state = running.state();
        for (name, pool) in &new.pools {
            let Some(old) = state.pools.get(name) else { continue };
            if !pool.continues(old) {
                pool.take_over(old, &new.source)?;
            }
            losses.extend(pool.loss(old).map(|loss| format!("pool {name} {loss}")));
        }
        let Checked { config, source, secrets, mut pools, access, functions, mut plans } = new;
        if let Some(admin) = &config.admin {
            let service = self.admin.get_or_insert_with(|| Admin::new(Arc::clone(&running)));
            let service = BoxCloneSyncService::new(service.clone());
            plans.push((Plan::admin(*admin.bind.get_ref(), service), admin.bind.span()));
        }
        let next = self.open(plans, &source)?;

        // From here on, nothing fails.
        self.keys.rotate(secrets);
        let functions = functions.apply();
        for loss in losses {
            tracing::warn!("{loss}");
        }
        for (name, pool) in &mut pools {
            // The check of the configuration has given the same endpoints to a pool with the same strategy.
            if let Err(error) = pool.apply(&source) {
                tracing::error!("pool {name} keeps its endpoints: {error}");
            }
        }
        self.clients.replace(&pools);
        let (mut listening, mut opened) = (Vec::new(), Vec::new());
        for next in next {
            match next {
                Next::Starts(ready) => {
                    listening.push(Listening::start(ready));
                    opened.extend(listening.last().map(|new| (new.configured, new.is_udp())));
                }
                Next::Stays(plan) => {
                    if let Some(at) = self.listening.iter().position(|running| running.can_become(&plan)) {
                        let running = self.listening.swap_remove(at);
                        running.replace(plan);
                        listening.push(running);
                    }
                }
            }
        }
        let removed = std::mem::replace(&mut self.listening, listening);
        self.shutdown_timeout = config.shutdown_timeout;
        let listeners = self.listening.iter().filter(|listening| !listening.is_admin());
        let listeners = listeners.map(|listening| ListenerState {
            bind: listening.configured,
            address: listening.address(),
            serving: listening.serving.clone(),
        });
        let state = State { text: source.text, pools, listeners: listeners.collect(), access, functions };
        running.monitor.replace(watched::pools(&state), watched::listeners(&state));
        running.monitor.replace_functions(state.functions.watched());
        running.replace(state);
        self._monitoring.get_or_insert_with(|| running.monitor.spawn());
        // A set keeps tasks that have ended until they are joined.
        while self.removed.try_join_next().is_some() {}
        for listening in removed {
            // The system would give it some of the clients of the new socket.
            let is_replaced = opened
                .iter()
                .any(|(bind, is_udp)| *is_udp && listening.is_udp() && overlap(*bind, listening.configured));
            let timeout = if is_replaced { Duration::ZERO } else { config.shutdown_timeout };
            self.removed.spawn(listening.shutdown(timeout));
        }
        Ok(())
    }

    /// Returns the monitor of the pools and listeners.
    pub(crate) fn monitor(&self) -> &Monitor {
        &self.running.monitor
    }

    /// Opens the sockets of plans that no running listener can do with its socket.
    fn open(&self, plans: Vec<(Plan, Range<usize>)>, source: &Source) -> Result<Vec<Next>, ConfigError> {
        let stays = |running: &&Listening| plans.iter().any(|(plan, _)| running.can_become(plan));
        let leaving: Vec<_> = self.listening.iter().filter(|running| !stays(running)).collect();
        let mut next = Vec::new();
        for (plan, span) in plans {
            if self.listening.iter().any(|running| running.can_become(&plan)) {
                next.push(Next::Stays(plan));
                continue;
            }
            let bind = plan.bind;
            let is_same =
                |running: &&&Listening| running.is_udp() == plan.is_udp() && overlap(running.configured, bind);
            let same: Vec<_> = leaving.iter().filter(is_same).map(|running| running.socket()).collect();
            let ready = match self.shares_ports || same.is_empty() {
                true => Ready::open(plan, self.shares_ports),
                false => Ready::open_beside(&same, plan),
            };
            let failed = |error| source.error(span, format_args!("cannot listen on {bind}: {error}"));
            next.push(Next::Starts(ready.map_err(failed)?));
        }
        Ok(next)
    }

    /// Accepts no more connections, and waits until the requests in flight, connections and tunnels have ended, for the
    /// configured time in all. Shortly before its end, it closes the tunnels. Then it aborts the rest.
    pub(crate) async fn shutdown(self) {
        let Self { shares_ports, listening, mut removed, tunnels, shutdown_timeout: timeout, .. } = self;
        let (admin, listening): (Vec<_>, Vec<_>) = listening.into_iter().partition(Listening::is_admin);
        // First, so that commands go to a process that takes the ports over.
        for admin in admin {
            admin.shutdown(Duration::ZERO).await;
        }
        let ended = async {
            let shut_down = |listening: Listening| {
                // The system would give it some of the clients of a process that takes the port over.
                let timeout = if shares_ports && listening.is_udp() { Duration::ZERO } else { timeout };
                listening.shutdown(timeout)
            };
            let listeners = join_all(listening.into_iter().map(shut_down));
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
