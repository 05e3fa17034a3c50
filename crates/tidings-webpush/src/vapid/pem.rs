/// Appends PEM (RFC 7468 §2) to `text`.
///
/// Written here because the copies that a library makes on the way to it are not zeroized.
pub(super) fn pem(label: &str, base64: &str, text: &mut String) {
    text.extend(["-----BEGIN ", label, "-----\n"]);
    for (position, character) in base64.chars().enumerate() {
        if position != 0 && position % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.extend(["\n-----END ", label, "-----\n"]);
}
