//! The member `notification`: the web's names, checked before anybody relies on them.
//!
//! A declarative push whose members have wrong types is not shown at all (WebKit), and some
//! combinations make `showNotification()` throw, so all of that is refused here.

use serde_json::{Map, Value};
use url::Url;

use crate::content::Content;
use crate::receipt::MAX_ACTION_BYTES;

const MAX_ACTIONS: usize = 4;

/// What is wrong with a member of `notification`, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct NotificationError {
    /// JSON pointer below `notification`, as `/actions/0/title`.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub what: String,
}

/// How a member is written.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Bool,
    Url,
    Direction,
    Timestamp,
    Vibrate,
    Object,
    Actions,
}

const MEMBERS: &[(&str, Form)] = &[
    ("title", Form::Text),
    ("body", Form::Text),
    ("navigate", Form::Url),
    ("icon", Form::Url),
    ("image", Form::Url),
    ("badge", Form::Url),
    ("tag", Form::Text),
    ("lang", Form::Text),
    ("dir", Form::Direction),
    ("silent", Form::Bool),
    ("requireInteraction", Form::Bool),
    ("renotify", Form::Bool),
    ("timestamp", Form::Timestamp),
    ("vibrate", Form::Vibrate),
    ("actions", Form::Actions),
    ("data", Form::Object),
    ("mutable", Form::Bool),
];

const ACTION_MEMBERS: &[(&str, Form)] = &[
    ("action", Form::Text),
    ("title", Form::Text),
    ("navigate", Form::Url),
    ("icon", Form::Url),
];

/// Checks every member and makes its URLs absolute.
pub(super) fn check(
    mut notification: Map<String, Value>,
    app_badge: Option<u64>,
    site: &Url,
) -> Result<Content, NotificationError> {
    check_members(&mut notification, MEMBERS, "", site)?;
    let title = notification
        .get("title")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if title.trim().is_empty() {
        return refuse("/title", "a notification needs a title that is not empty");
    }
    check_combinations(&notification)?;
    if notification
        .get("data")
        .is_some_and(|data| data.get("tidings").is_some())
    {
        return refuse(
            "/data/tidings",
            "this member is Tidings' own: choose another name",
        );
    }
    if !notification.contains_key("navigate") {
        notification.insert("navigate".to_owned(), site.as_str().into());
    }
    let mutable = match notification.remove("mutable") {
        Some(Value::Bool(mutable)) => mutable,
        _ => true,
    };
    Ok(Content::Notification {
        notification,
        app_badge,
        mutable,
    })
}

/// The two combinations that make `showNotification()` throw (Notifications API, "create a
/// notification").
fn check_combinations(notification: &Map<String, Value>) -> Result<(), NotificationError> {
    let is_true = |name: &str| notification.get(name) == Some(&Value::Bool(true));
    if is_true("silent") && notification.contains_key("vibrate") {
        return refuse(
            "/vibrate",
            "a silent notification cannot vibrate: leave out one of the two",
        );
    }
    let has_tag = notification
        .get("tag")
        .and_then(Value::as_str)
        .is_some_and(|tag| !tag.is_empty());
    if is_true("renotify") && !has_tag {
        return refuse("/renotify", "`renotify` needs a `tag` that is not empty");
    }
    Ok(())
}

fn check_members(
    object: &mut Map<String, Value>,
    members: &[(&str, Form)],
    at: &str,
    site: &Url,
) -> Result<(), NotificationError> {
    for (name, value) in object {
        let pointer = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        let Some((_, form)) = members.iter().find(|(known, _)| known == name) else {
            let known: Vec<_> = members.iter().map(|(name, _)| *name).collect();
            let what = format!("unknown member; known are {}", known.join(", "));
            return Err(NotificationError { pointer, what });
        };
        check_member(value, *form, &pointer, site)?;
    }
    Ok(())
}

fn check_member(
    value: &mut Value,
    form: Form,
    pointer: &str,
    site: &Url,
) -> Result<(), NotificationError> {
    let (fits, wanted) = match form {
        Form::Text => (value.is_string(), "a text"),
        Form::Bool => (value.is_boolean(), "true or false"),
        Form::Direction => {
            let known = ["auto", "ltr", "rtl"];
            (
                value.as_str().is_some_and(|dir| known.contains(&dir)),
                "`auto`, `ltr` or `rtl`",
            )
        }
        Form::Timestamp => (value.is_u64(), "milliseconds since 1970 as a whole number"),
        Form::Vibrate => (
            is_vibration(value),
            "a list of at most 32 whole milliseconds",
        ),
        Form::Object => (value.is_object(), "an object"),
        Form::Url => return absolute(value, pointer, site),
        Form::Actions => return check_actions(value, pointer, site),
    };
    if fits {
        Ok(())
    } else {
        refuse(pointer, &format!("this must be {wanted}"))
    }
}

fn is_vibration(value: &Value) -> bool {
    let is_pause = |item: &Value| item.as_u64().is_some_and(|pause| pause <= 60_000);
    value
        .as_array()
        .is_some_and(|items| items.len() <= 32 && items.iter().all(is_pause))
}

fn absolute(value: &mut Value, pointer: &str, site: &Url) -> Result<(), NotificationError> {
    let resolved = value.as_str().and_then(|text| site.join(text).ok());
    match resolved.filter(|url| matches!(url.scheme(), "http" | "https")) {
        Some(url) => {
            *value = Value::from(url.as_str());
            Ok(())
        }
        None => refuse(
            pointer,
            "this must be an http or https URL, absolute or relative to the application's site",
        ),
    }
}

fn check_actions(value: &mut Value, pointer: &str, site: &Url) -> Result<(), NotificationError> {
    let Value::Array(actions) = value else {
        return refuse(pointer, "this must be a list of actions");
    };
    if actions.len() > MAX_ACTIONS {
        return refuse(pointer, "there can be at most 4 actions (browsers show 2)");
    }
    for (index, action) in actions.iter_mut().enumerate() {
        let pointer = format!("{pointer}/{index}");
        let Value::Object(members) = action else {
            return refuse(&pointer, "an action is an object with `action` and `title`");
        };
        check_members(members, ACTION_MEMBERS, &pointer, site)?;
        for needed in ["action", "title"] {
            if !members.contains_key(needed) {
                return refuse(&pointer, &format!("an action needs `{needed}`"));
            }
        }
        let name = members
            .get("action")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if name.len() > MAX_ACTION_BYTES {
            let pointer = format!("{pointer}/action");
            return refuse(&pointer, "an action's name can have at most 64 octets");
        }
        // Declarative Web Push wants a URL for every action.
        if !members.contains_key("navigate") {
            members.insert("navigate".to_owned(), site.as_str().into());
        }
    }
    Ok(())
}

fn refuse<T>(pointer: &str, what: &str) -> Result<T, NotificationError> {
    Err(NotificationError {
        pointer: pointer.to_owned(),
        what: what.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn checked(value: Value) -> Result<Value, NotificationError> {
        let Value::Object(members) = value else {
            unreachable!("tests pass objects")
        };
        let site = Url::parse("https://example.org/app/").unwrap();
        match check(members, None, &site)? {
            Content::Notification { notification, .. } => Ok(Value::Object(notification)),
            _ => unreachable!("check makes notifications"),
        }
    }

    #[test]
    fn urls_become_absolute_and_navigate_is_added() {
        assert_eq!(
            checked(json!({"title": "Hi", "icon": "i.png"})).unwrap(),
            json!({
                "title": "Hi",
                "icon": "https://example.org/app/i.png",
                "navigate": "https://example.org/app/",
            })
        );
        let elsewhere = checked(json!({"title": "Hi", "navigate": "http://other.example/x"}));
        assert_eq!(elsewhere.unwrap()["navigate"], "http://other.example/x");
        let action = json!({"title": "Hi", "actions": [{"action": "a", "title": "A"}]});
        assert_eq!(
            checked(action).unwrap()["actions"][0]["navigate"],
            "https://example.org/app/"
        );
    }

    #[test]
    fn what_browsers_would_not_show_is_refused_where_it_stands() {
        for (value, pointer) in [
            (json!({}), "/title"),
            (json!({"title": "  "}), "/title"),
            (json!({"title": 3}), "/title"),
            (json!({"title": "x", "tilte": "y"}), "/tilte"),
            (json!({"title": "x", "a/b": "y"}), "/a~1b"),
            (json!({"title": "x", "silent": "yes"}), "/silent"),
            (
                json!({"title": "x", "navigate": "javascript:alert(1)"}),
                "/navigate",
            ),
            (json!({"title": "x", "navigate": "http://"}), "/navigate"),
            (json!({"title": "x", "dir": "up"}), "/dir"),
            (json!({"title": "x", "timestamp": -1}), "/timestamp"),
            (json!({"title": "x", "vibrate": [1.5]}), "/vibrate"),
            (json!({"title": "x", "data": [1]}), "/data"),
            (
                json!({"title": "x", "data": {"tidings": 1}}),
                "/data/tidings",
            ),
            (json!({"title": "x", "actions": {}}), "/actions"),
            (
                json!({"title": "x", "actions": [{"action": "a"}]}),
                "/actions/0",
            ),
            (
                json!({"title": "x", "actions": [{"action": "a", "title": 1}]}),
                "/actions/0/title",
            ),
            (
                json!({"title": "x", "actions": [{"action": "a".repeat(65), "title": "A"}]}),
                "/actions/0/action",
            ),
            (
                json!({"title": "x", "silent": true, "vibrate": [1]}),
                "/vibrate",
            ),
            (json!({"title": "x", "renotify": true}), "/renotify"),
        ] {
            assert_eq!(
                checked(value.clone()).unwrap_err().pointer,
                pointer,
                "{value}"
            );
        }
    }
}
