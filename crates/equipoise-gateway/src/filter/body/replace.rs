use bytes::Bytes;

use super::{
    search::{Found, InvalidTexts, Search, Texts},
    traits::{BodyFilter, BodyOutput, BodyRejected, FilterRequest, FilterResponse, FilteredResponse},
};

/// Replaces texts in bodies, as nginx does with `sub_filter`. Texts are also found over the borders of chunks.
///
/// None of the texts to find may contain another one. Replacements are not searched again. Unlike nginx, the layer gives
/// bodies of all types to it, also images, unless
/// [`content_types`](super::ResponseBodyFilterLayer::content_types) is set. The filter keeps fewer bytes than the longest
/// text has, and takes O(length) time, whatever the number of texts.
///
/// ```
/// use equipoise_gateway::filter::{ReplaceText, ResponseBodyFilterLayer};
///
/// let replace = ReplaceText::new([("http://backend.internal/", "https://app.test/")])?;
/// let layer = ResponseBodyFilterLayer::new(replace).content_types(["text/html", "text/css"]);
/// # drop(layer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReplaceText {
    texts: Texts,
    replacements: Vec<Bytes>,
    once: bool,
}

impl ReplaceText {
    /// Creates a filter that replaces all occurrences of each first text by the second one. All texts to find have at
    /// most 4096 bytes together.
    ///
    /// # Errors
    ///
    /// [`InvalidTexts`] if there is no text, one is empty, one contains another one, or they are too long.
    pub fn new<F: AsRef<[u8]>, T: AsRef<[u8]>>(pairs: impl IntoIterator<Item = (F, T)>) -> Result<Self, InvalidTexts> {
        Self::with(pairs, false)
    }

    /// Creates a filter like [`new`](Self::new) for which upper and lower case of ASCII are the same in the texts to
    /// find.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn ignoring_case<F: AsRef<[u8]>, T: AsRef<[u8]>>(
        pairs: impl IntoIterator<Item = (F, T)>,
    ) -> Result<Self, InvalidTexts> {
        Self::with(pairs, true)
    }

    fn with<F: AsRef<[u8]>, T: AsRef<[u8]>>(
        pairs: impl IntoIterator<Item = (F, T)>,
        ignore_case: bool,
    ) -> Result<Self, InvalidTexts> {
        let (texts, replacements): (Vec<_>, _) = pairs
            .into_iter()
            .map(|(from, to)| (folded(from.as_ref(), ignore_case), Bytes::copy_from_slice(to.as_ref())))
            .unzip();
        Ok(Self { texts: Texts::new(&texts, ignore_case)?, replacements, once: false })
    }

    /// Sets whether only the first occurrence in a body is replaced. Default: false.
    #[must_use]
    pub fn once(mut self, once: bool) -> Self {
        self.once = once;
        self
    }

    fn start(&self) -> Option<Box<dyn BodyFilter>> {
        let search = Some(Search::new(self.texts.clone()));
        Some(Box::new(Replacing { search, replacements: self.replacements.clone(), once: self.once }))
    }
}

/// Returns a text as the search compares it.
pub(super) fn folded(text: &[u8], ignore_case: bool) -> Vec<u8> {
    if ignore_case { text.to_ascii_lowercase() } else { text.to_vec() }
}

impl FilterRequest for ReplaceText {
    fn filter(&self, _: equipoise_tower::RequestHead<'_>) -> Option<Box<dyn BodyFilter>> {
        self.start()
    }
}

impl FilterResponse for ReplaceText {
    fn filter(&self, _: &FilteredResponse<'_>) -> Option<Box<dyn BodyFilter>> {
        self.start()
    }
}

struct Replacing {
    /// `None` if nothing is to be replaced any more.
    search: Option<Search>,
    replacements: Vec<Bytes>,
    once: bool,
}

impl BodyFilter for Replacing {
    fn chunk(&mut self, data: Bytes, output: &mut BodyOutput<'_>) -> Result<(), BodyRejected> {
        let Some(search) = &mut self.search else {
            output.push(data);
            return Ok(());
        };
        let (mut has_replaced, replacements, once) = (false, &self.replacements, self.once);
        search.chunk(&data, |found| {
            match found {
                Found::Other(bytes) => output.push(bytes),
                Found::Text(index) => {
                    has_replaced = true;
                    output.push(replacements.get(index).cloned().unwrap_or_default());
                }
            }
            !once || !has_replaced
        });
        if once && has_replaced {
            self.search = None;
        }
        Ok(())
    }

    fn end(&mut self, output: &mut BodyOutput<'_>) -> Result<(), BodyRejected> {
        if let Some(search) = &mut self.search {
            output.push(search.end());
        }
        Ok(())
    }
}
