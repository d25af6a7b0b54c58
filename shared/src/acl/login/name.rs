//! Names with what is known of somebody in them: `web-${value.team}`. `$${` stands for `${` itself. It is the part of
//! HashiCorp's interpolation language that Consul's binding rules have a use for; functions and arithmetic are not in it.

/// Puts what `known` says in the place of each `${NAME}`.
///
/// # Errors
/// What is wrong with the template, as a sentence.
pub(super) fn interpolate(template: &str, known: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let (mut name, mut rest) = (String::new(), template);
    while let Some(at) = rest.find("${") {
        let (before, after) = (&rest[..at], &rest[at + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            name += before;
            name += "${";
            rest = after;
            continue;
        }
        name += before;
        let (variable, after) = after.split_once('}').ok_or_else(|| format!("{template:?}: a \"${{\" has no end"))?;
        let variable = variable.trim();
        name += &known(variable).ok_or_else(|| {
            format!("{template:?}: {variable:?} is not mapped by the auth method (ClaimMappings), as value.NAME")
        })?;
        rest = after;
    }
    Ok(name + rest)
}
