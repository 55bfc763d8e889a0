//! The functions of a listener and of its routes. `stack::Functions` puts them into their order, which is in its documentation.

use super::{
    auth, body, browser, cache,
    chain::{Chain, Shared},
    compression, filter, headers,
    limit::{self, Stage},
    maintenance, redirect,
};
use crate::{
    config::{HttpListener, Tables},
    context::Context,
    source::ConfigError,
};

impl Shared<'_> {
    /// Builds the functions of a route. `pool` is its pool, if it has one.
    pub(crate) fn route(
        &self,
        tables: Tables<'_>,
        pool: Option<&str>,
        context: Context<'_>,
    ) -> Result<Chain, ConfigError> {
        let mut chain = Chain::new(self.errors);
        headers::add_of_responses(&mut chain, tables, context)?;
        filter::add(&mut chain, tables, self, context)?;
        maintenance::add(&mut chain, tables, self, context)?;
        redirect::add(&mut chain, tables, context)?;
        browser::add_cors(&mut chain, tables, context)?;
        limit::add(&mut chain, Stage::BeforeAuthentication, tables, self, context)?;
        auth::add(&mut chain, tables, self, context)?;
        limit::add(&mut chain, Stage::AfterAuthentication, tables, self, context)?;
        browser::add_csrf(&mut chain, tables, self, context)?;
        compression::add(&mut chain, tables, context)?;
        cache::add(&mut chain, (tables, pool), self, context)?;
        headers::add_of_requests(&mut chain, tables, context)?;
        compression::add_decompression(&mut chain, tables, self, context)?;
        body::add(&mut chain, tables, self, context)?;
        Ok(chain)
    }

    /// Builds the functions of a listener that run before a route is looked for.
    pub(crate) fn before_routes(
        &self,
        listener: &HttpListener,
        place: &str,
        context: Context<'_>,
    ) -> Result<Chain, ConfigError> {
        let mut chain = Chain::new(self.errors);
        browser::add_request_ids(&mut chain, (listener, place), context)?;
        filter::add_paths(&mut chain, (listener.paths.as_ref(), place), self, context)?;
        Ok(chain)
    }

    /// Builds the functions that add fields to the responses of the proxy itself, which pass no route. `None` if no route has
    /// such a function.
    pub(crate) fn own_responses(
        &self,
        listener: &HttpListener,
        place: &str,
        context: Context<'_>,
    ) -> Result<Option<Chain>, ConfigError> {
        let tables = Tables::of_listener(listener, place);
        let add_fields = |tables: Tables<'_>| {
            tables.cors.is_some() || tables.response_headers.is_some() || tables.security_headers.is_some()
        };
        let mut routes = listener.route.iter().map(|route| tables.of_route(route.get_ref(), place, false));
        if listener.request_id.is_none() && !add_fields(tables) && !routes.any(add_fields) {
            return Ok(None);
        }
        let mut chain = Chain::new(self.errors);
        browser::add_request_ids(&mut chain, (listener, place), context)?;
        headers::add_of_responses(&mut chain, tables, context)?;
        browser::add_cors(&mut chain, tables, context)?;
        Ok(Some(chain))
    }
}
