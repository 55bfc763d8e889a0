//! The tables of functions, such as authentication, of a listener with mode "http" and of its routes.

mod auth;
mod body;
mod browser;
mod cache;
mod compression;
mod filter;
mod headers;
mod jwt;
mod limit;
mod pages;
mod redirect;
mod setting;

use std::ops::Range;

use toml::Spanned;

pub(crate) use self::{
    auth::{
        ApiKeyTable, AuthTable, BasicTable, CertificateAuthTable, CertificateNameKind, DecisionCacheTable,
        ExternalTable, MechanismKind, RequireTable,
    },
    body::{ReplaceTable, RequestBodyTable, ResponseBodyTable},
    browser::{CorsTable, CsrfTable, Names, RequestIdTable},
    cache::{
        CacheKeyTable, CacheStoreTable, CacheTable, LocalTable, QueryKey, RedisStoreTable, SetCookieTable, StatusName,
    },
    compression::{CompressionTable, DecompressionTable, EncodingName},
    filter::{EachPath, FilterRule, FilterTable, Matching, PartTable, PathsAction, PathsTable, RuleAction},
    headers::{HeadersTable, SecurityTable, WordOrOff},
    jwt::{JwksTable, JwtTable},
    limit::{Fallback, InFlightTable, KeyTable, LimitHeaders, LimitTable, Missing, Rate, RateTable, RedisTable},
    pages::{AllowedDuringMaintenance, MaintenanceTable},
    redirect::{QueryTable, RedirectTable, RedirectTables, TrailingSlash},
    setting::{FunctionTable, OneOrMany, Setting},
};
use super::http::{HttpListener, RouteTable};

/// A key of a function, and where it is.
#[derive(Debug)]
pub(crate) struct Placed<'t, T> {
    pub(crate) setting: &'t Spanned<Setting<T>>,
    /// The listener, or the listener and the conditions of the route.
    pub(crate) place: &'t str,
}

impl<T> Clone for Placed<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Placed<'_, T> {}

impl<'t, T> Placed<'t, T> {
    fn new(setting: Option<&'t Spanned<Setting<T>>>, place: &'t str) -> Option<Self> {
        Some(Self { setting: setting?, place })
    }

    /// Returns the table with its place in the file. `None` if the function is off.
    pub(crate) fn table(self) -> Option<(&'t T, Range<usize>)> {
        match self.setting.get_ref() {
            Setting::Off => None,
            Setting::On(table) => Some((table, self.setting.span())),
        }
    }
}

macro_rules! tables {
    ($($name:ident: $table:ty),* $(,)?) => {
        /// The tables of the functions that listeners and routes have.
        #[derive(Clone, Copy)]
        pub(crate) struct Tables<'t> {
            /// The listener, or the listener and the conditions of the route.
            pub(crate) place: &'t str,
            /// Whether the route has several pools.
            pub(crate) is_split: bool,
            $(pub(crate) $name: Option<Placed<'t, $table>>,)*
        }

        impl<'t> Tables<'t> {
            pub(crate) fn of_listener(listener: &'t HttpListener, place: &'t str) -> Self {
                Self { place, is_split: false, $($name: Placed::new(listener.$name.as_ref(), place),)* }
            }

            /// Returns the tables of a route, and those of the listener for functions that the route has no table of.
            pub(crate) fn of_route(self, route: &'t RouteTable, place: &'t str, is_split: bool) -> Self {
                Self { place, is_split, $($name: Placed::new(route.$name.as_ref(), place).or(self.$name),)* }
            }

            /// Returns the name and the place of the first function that a route has a table of.
            pub(crate) fn first_of(route: &RouteTable) -> Option<(&'static str, Range<usize>)> {
                let all = [$(route.$name.as_ref().map(|setting| (stringify!($name), setting.span())),)*];
                all.into_iter().flatten().min_by_key(|(_, span)| span.start)
            }
        }
    };
}

tables! {
    auth: AuthTable,
    cache: CacheTable,
    compression: CompressionTable,
    cors: CorsTable,
    csrf: CsrfTable,
    decompression: DecompressionTable,
    filter: FilterTable,
    limit: LimitTable,
    maintenance: MaintenanceTable,
    redirect: RedirectTables,
    request_body: RequestBodyTable,
    request_headers: HeadersTable,
    response_body: ResponseBodyTable,
    response_headers: HeadersTable,
    security_headers: SecurityTable,
}
