//! What a caller would rather have: JSON or octets.

use http::HeaderMap;
use http::header::ACCEPT;

/// How much a media type is wanted: by weight, then by how exactly it is named.
type Wish = (u16, u8);

/// Whether `Accept` prefers `application/json` to `application/octet-stream`. If it has no
/// preference, it does not (RFC 9110 §12.5.1).
pub(crate) fn prefers_json(headers: &HeaderMap) -> bool {
    let wish = |subtype| {
        headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|range| read(range, subtype))
            .max_by_key(|(_, exactness)| *exactness)
            .filter(|(quality, _)| *quality > 0)
            .unwrap_or((0, 0))
    };
    wish("json") > wish("octet-stream")
}

/// What one range says about `application/<subtype>`.
fn read(range: &str, subtype: &str) -> Option<Wish> {
    let mut parts = range.split(';').map(str::trim);
    let (kind, sub) = parts.next()?.split_once('/')?;
    let exactness = match (kind.to_ascii_lowercase().as_str(), sub.to_ascii_lowercase()) {
        ("*", sub) if sub == "*" => 0,
        ("application", sub) if sub == "*" => 1,
        ("application", sub) if sub == subtype => 2,
        _ => return None,
    };
    let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let quality = quality.map_or(Some(1.0), |text| text.trim().parse::<f32>().ok())?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to what fits"
    )]
    let thousandths = (quality.clamp(0.0, 1.0) * 1000.0) as u16;
    Some((thousandths, exactness))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_given_to_those_who_name_it() {
        for (accept, json) in [
            ("", false),
            ("*/*", false),
            ("application/*", false),
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/json, text/plain, */*", true),
            ("application/octet-stream, application/json", false),
            ("application/octet-stream;q=0.5, application/json", true),
            ("application/json;q=0", false),
            ("application/json;q=0.4, */*;q=0.5", false),
            ("text/html", false),
            ("nonsense, ;;q=", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            assert_eq!(prefers_json(&headers), json, "{accept}");
        }
    }
}
