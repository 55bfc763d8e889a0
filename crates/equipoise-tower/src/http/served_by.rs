use equipoise_core::EndpointId;

/// The response extension that tells which endpoint served it.
///
/// ```
/// use equipoise_tower::ServedBy;
///
/// fn log<B>(response: &http::Response<B>) {
///     if let Some(ServedBy(endpoint)) = response.extensions().get() {
///         println!("{} from {endpoint}", response.status());
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedBy(pub EndpointId);
