//! Quoted strings and heredocs of HCL.

use super::{SyntaxError, lexer::Lexer};

/// Reads a quoted string; the lexer stands at its first quote. Escapes are Go's; `${...}` stays as it is written, with
/// the quotes in it.
pub fn quoted(lexer: &mut Lexer<'_>) -> Result<String, SyntaxError> {
    let start = lexer.place();
    lexer.advance(1);
    // Bytes, as `\x` and octal escapes name bytes and not characters.
    let mut text: Vec<u8> = Vec::new();
    loop {
        let rest = lexer.rest();
        let Some(c) = rest.chars().next() else {
            return Err(lexer.error(start, "this string has no end (close it with a quote)"));
        };
        match c {
            '"' => break,
            '\n' => return Err(lexer.error(start, "this string does not end on its line (use a heredoc, <<EOF)")),
            '\\' => escape(lexer, &mut text)?,
            '$' if rest.starts_with("${") => {
                let Some(end) = interpolation(rest) else {
                    return Err(lexer.error(lexer.place(), "\"${\" without its \"}\""));
                };
                text.extend_from_slice(&rest.as_bytes()[..end]);
                lexer.advance(end);
            }
            c => {
                text.extend_from_slice(&rest.as_bytes()[..c.len_utf8()]);
                lexer.advance(c.len_utf8());
            }
        }
    }
    lexer.advance(1);
    String::from_utf8(text).map_err(|_| lexer.error(start, "the escapes of this string do not give UTF-8"))
}

/// The length of `${...}`, braces matched.
fn interpolation(rest: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at + 1),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn escape(lexer: &mut Lexer<'_>, text: &mut Vec<u8>) -> Result<(), SyntaxError> {
    let place = lexer.place();
    let rest = &lexer.rest()[1..];
    let simple = match rest.bytes().next() {
        Some(b'n') => Some(b'\n'),
        Some(b't') => Some(b'\t'),
        Some(b'r') => Some(b'\r'),
        Some(b'a') => Some(7),
        Some(b'b') => Some(8),
        Some(b'f') => Some(12),
        Some(b'v') => Some(11),
        Some(byte @ (b'"' | b'\\')) => Some(byte),
        _ => None,
    };
    if let Some(byte) = simple {
        text.push(byte);
        lexer.advance(2);
        return Ok(());
    }
    let wrong = || lexer.error(place, "unknown escape (a backslash itself is written \"\\\\\")");
    let (skip, digits, radix) = match rest.bytes().next() {
        Some(b'x') => (1, 2, 16),
        Some(b'u') => (1, 4, 16),
        Some(b'U') => (1, 8, 16),
        Some(b'0'..=b'7') => (0, 3, 8),
        _ => return Err(wrong()),
    };
    let written = rest.get(skip..skip + digits).filter(|d| d.chars().all(|c| c.is_digit(radix))).ok_or_else(wrong)?;
    let value = u32::from_str_radix(written, radix).map_err(|_| wrong())?;
    if digits < 4 {
        text.push(u8::try_from(value).map_err(|_| wrong())?);
    } else {
        let c = char::from_u32(value).ok_or_else(wrong)?;
        text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    lexer.advance(1 + skip + digits);
    Ok(())
}

/// Reads a heredoc; the lexer stands at its `<<`. The text ends with the line before the one that is the marker alone.
/// With `<<-` the marker's own indentation is taken off every line, where every line has it.
pub fn heredoc(lexer: &mut Lexer<'_>) -> Result<String, SyntaxError> {
    let start = lexer.place();
    let rest = lexer.rest();
    let head = rest.strip_prefix("<<").ok_or_else(|| lexer.error(start, "unexpected \"<\" (a heredoc is <<EOF)"))?;
    let (indented, head) = match head.strip_prefix('-') {
        Some(head) => (true, head),
        None => (false, head),
    };
    let line = head.split('\n').next().unwrap_or_default();
    let marker = line.trim_end_matches('\r');
    if marker.is_empty() || !marker.chars().all(|c| c.is_alphanumeric() || c == '_') || line.len() == head.len() {
        return Err(lexer.error(start, "a heredoc begins with a word alone on its line, such as <<EOF"));
    }
    let body = &head[line.len() + 1..];
    let mut length = 0;
    for line in body.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        if bare.trim_start() == marker {
            let indentation = &bare[..bare.len() - marker.len()];
            let text = &body[..length];
            lexer.advance(rest.len() - body.len() + length + bare.len());
            return Ok(if indented { unindent(text, indentation) } else { text.into() });
        }
        length += line.len();
    }
    Err(lexer.error(start, format!("this heredoc has no end (a line that is {marker:?} alone)")))
}

fn unindent(text: &str, indentation: &str) -> String {
    if !text.split_inclusive('\n').all(|line| line.starts_with(indentation)) {
        return text.into();
    }
    text.split_inclusive('\n').map(|line| &line[indentation.len()..]).collect()
}
