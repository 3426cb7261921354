//! What a word does where it stands: letters that are names, exceptions, questions in other words, verbs and nouns.

use super::lexicon::{Ask, List, entry};
use super::reading::{Form, Token};

/// How far a word looks for the one it goes with, in tokens: a clause, and time linear in a text's length.
const MAX_CLAUSE: usize = 16;

/// Makes names of the letters that stand for something: vitamin A, section i, x and y.
/// `is_capital` and `is_apart` tell of a place in the text whether a capital stands there, and whether a blank follows.
pub(super) fn name_letters(
    tokens: &mut [Token<'_>],
    is_capital: impl Fn(usize) -> bool,
    is_apart: impl Fn(usize) -> bool,
) {
    for i in 0..tokens.len() {
        let token = &tokens[i];
        if token.surface.len() != 1 || !token.surface.as_bytes()[0].is_ascii_lowercase() {
            continue;
        }
        let is_beside_han = i > 0 && tokens[i - 1].is_han;
        let is_after_content = i > 0 && !token.is_after_stop && tokens[i - 1].list == List::Content;
        let is_name = match token.surface {
            "i" => is_beside_han || is_counter(tokens, i) || (is_after_content && !opens_phrase(tokens, i)),
            "a" if !is_apart(token.start) || tokens.get(i + 1).is_some_and(|next| next.surface.len() == 1) => true,
            "a" => is_beside_han || !opens_phrase(tokens, i) || (is_capital(token.start) && !token.is_after_stop),
            _ => is_beside_han || token.list == List::Content || (is_capital(token.start) && !token.is_after_stop),
        };
        if is_name {
            let token = &mut tokens[i];
            (token.list, token.entry, token.is_strong) = (List::Content, None, true);
            token.key = token.surface.into();
        }
    }
}

/// "for i in".
fn is_counter(tokens: &[Token<'_>], at: usize) -> bool {
    let is = |i: usize, word| tokens.get(i).is_some_and(|token| token.surface == word);
    at > 0 && is(at - 1, "for") && is(at + 1, "in")
}

/// Whether what follows an "a" or an "I" goes with it: no stop, no sign, no word that relates or joins.
fn opens_phrase(tokens: &[Token<'_>], at: usize) -> bool {
    const JOINING: [&str; 16] =
        ["of", "in", "on", "and", "or", "to", "from", "with", "for", "is", "are", "than", "vs", "versus", "at", "by"];
    tokens.get(at + 1).is_some_and(|next| {
        let is_word = next.surface.starts_with(char::is_alphanumeric);
        is_word && !next.is_after_stop && !next.is_han && !JOINING.contains(&next.surface)
    })
}

/// Settles what the tokens of a whole text do.
pub(super) fn settle(tokens: &mut [Token<'_>]) {
    turn_doubled(tokens);
    join_results(tokens);
    let has_question = tokens.iter().any(|token| matches!(token.list, List::Ask(_)));
    for i in 0..tokens.len() {
        let from = i.saturating_sub(MAX_CLAUSE);
        match tokens[i].surface {
            "but" if is_exception(tokens, i) => deny(&mut tokens[i], "except"),
            "除" if tokens[i].is_after_stop => deny(&mut tokens[i], "除了"),
            "like" => {
                if let Some(what) = asks_how(tokens, i) {
                    (tokens[what].list, tokens[what].key) = (List::Ask(Ask::HOW), "how".into());
                }
            }
            // "What do I have to do to": how.
            "to" if i > 1 && tokens[i - 1].surface.ends_with("do") => {
                let what = (from..i).rev().find(|&i| tokens[i].surface == "what");
                if let Some(what) = what.filter(|what| tokens[what + 1..i - 1].iter().all(|token| !token.is_content()))
                {
                    (tokens[what].list, tokens[what].key) = (List::Ask(Ask::HOW), "how".into());
                }
            }
            "turn" | "turns" | "turned" | "turning" if is_switched(&tokens[i + 1..]) => tokens[i].key = "change".into(),
            // What something causes is not what causes it.
            "cause" if is_asked_for_effect(&tokens[from..i]) => {
                (tokens[i].list, tokens[i].key) = (List::Content, "effect".into());
            }
            "引起" | "导致" | "造成" if tokens[i + 1..].iter().take(3).any(|next| next.key == "什么") => {
                (tokens[i].list, tokens[i].key) = (List::Content, "结果".into());
            }
            "支持" if !has_question => tokens[i].list = List::Filler,
            "available" if !has_question && opens_with_is(&tokens[from..i]) => tokens[i].list = List::Filler,
            // "The capital is where" asks which place it is; "where it lies" is asked by 在.
            "哪里" | "哪儿" | "哪"
                if i > 2 && tokens[i - 1].surface == "是" && is_kind_of_place(&tokens[i - 3..i - 1]) =>
            {
                tokens[i].list = List::Ask(Ask::PLACE);
            }
            _ => {}
        }
        if tokens[i].key == "除了" {
            close_exception(tokens, i);
        }
        if tokens[i].form == Form::Plain && is_verb(tokens, i) {
            tokens[i].form = Form::Verb;
        }
    }
}

/// Whether two tokens end in a word that says what kind of place is asked for.
fn is_kind_of_place(tokens: &[Token<'_>]) -> bool {
    const KINDS: [&str; 11] = ["首都", "省会", "州府", "故乡", "家乡", "老家", "总部", "起点", "终点", "产地", "生地"];
    let spoken: String = tokens.iter().map(|token| token.surface).collect();
    KINDS.iter().any(|kind| spoken.ends_with(kind))
}

/// Whether "on" or "off" follows a "turn", alone or behind what is turned.
fn is_switched(rest: &[Token<'_>]) -> bool {
    let is_other = |token: &Token<'_>| token.is_after_stop || !(token.is_content() || is_article(token));
    rest.iter().take(5).find(|token| is_other(token)).is_some_and(|token| matches!(token.surface, "on" | "off"))
}

fn is_asked_for_effect(before: &[Token<'_>]) -> bool {
    let does = before.iter().rposition(|token| matches!(token.surface, "does" | "do" | "did" | "can" | "will"));
    does.and_then(|i| i.checked_sub(1)).is_some_and(|i| before[i].list == List::Ask(Ask::WHAT))
}

fn deny(token: &mut Token<'_>, word: &'static str) {
    (token.list, token.entry, token.key) = (List::Negation, entry(word), word.into());
}

/// 打不开 as 不 and 打开: what does not come about, by the word for it.
fn join_results(tokens: &mut [Token<'_>]) {
    for i in 1..tokens.len() {
        if tokens[i].list != List::Negation || tokens[i].surface.len() != "不开".len() || !tokens[i].is_han {
            continue;
        }
        let result = tokens[i].surface.strip_prefix('不').map(|result| format!("{}{result}", tokens[i - 1].surface));
        if let Some(known) = result.and_then(|result| entry(&result)) {
            let verb = &mut tokens[i - 1];
            (verb.list, verb.entry, verb.key) = (known.list, Some(known), known.key.as_str().into());
        }
    }
}

/// 好不好, 大不大: a question, nothing denied.
fn turn_doubled(tokens: &mut [Token<'_>]) {
    for i in 1..tokens.len().saturating_sub(1) {
        // 开不开, of which the latter two are one word.
        if tokens[i].surface.strip_prefix('不').is_some_and(|word| word == tokens[i - 1].surface) {
            tokens[i - 1].list = List::Filler;
            tokens[i].list = List::Content;
            tokens[i].entry = entry(tokens[i - 1].surface);
            tokens[i].key = std::mem::replace(&mut tokens[i - 1].key, "吗".into());
        }
        if tokens[i].list == List::Negation && tokens[i].is_han && tokens[i - 1].key == tokens[i + 1].key {
            (tokens[i - 1].list, tokens[i].list) = (List::Filler, List::Filler);
            tokens[i - 1].key = "吗".into();
        }
    }
}

/// "Everyone but", "every day but", "nobody but".
fn is_exception(tokens: &[Token<'_>], at: usize) -> bool {
    use super::lexicon::Quantity;
    let is_whole = |i: usize| {
        tokens[i].list == List::Quantity(Quantity::All)
            || matches!(tokens[i].surface, "any" | "no" | "none" | "nobody" | "nothing" | "anyone" | "anything")
    };
    let reach = tokens[..at].iter().rev().take(2).take_while(|token| token.is_content()).count();
    !tokens[at].is_after_stop && at > reach && is_whole(at - reach - 1)
}

/// 除了…以外: the end of an exception says no more than its beginning.
fn close_exception(tokens: &mut [Token<'_>], at: usize) {
    let clause = tokens[at + 1..].iter_mut().take(MAX_CLAUSE).take_while(|token| !token.is_after_stop);
    if let Some(end) = { clause }.find(|token| matches!(token.surface, "外" | "以外" | "之外")) {
        end.list = List::Filler;
    }
}

/// Where the "what" of "what is it like?" stands, which asks how it is.
fn asks_how(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let what = (at.saturating_sub(MAX_CLAUSE)..at)
        .rev()
        .find(|&i| matches!(tokens[i].surface, "what" | "what's" | "whats"))?;
    let is_being = |token: &Token<'_>| matches!(token.surface, "is" | "are" | "was" | "were" | "will");
    let seems = |token: &Token<'_>| matches!(token.surface, "look" | "sound" | "taste" | "feel" | "smell");
    let between = &tokens[what + 1..at];
    let is_how = match (between.first(), between.last()) {
        (Some(first), _) if is_being(first) || tokens[what].surface != "what" => true,
        (Some(first), Some(last)) => matches!(first.surface, "do" | "does" | "did") && seems(last),
        _ => false,
    };
    let wants = |token: &Token<'_>| matches!(token.surface, "would" | "to") || token.is_after_stop;
    (is_how && !between.iter().any(wants) && !tokens[at].is_after_stop).then_some(what)
}

/// "Is it …": a question for a yes or a no.
fn opens_with_is(before: &[Token<'_>]) -> bool {
    before.iter().any(|token| token.is_after_stop && matches!(token.surface, "is" | "are"))
}

/// Whether a word that may be a noun stands where a verb does: it opens the text, or follows who does it, "to", "can" and the
/// like, directly or with who does it between.
fn is_verb(tokens: &[Token<'_>], at: usize) -> bool {
    let is_helping = |token: &Token<'_>| {
        matches!(token.list, List::Modal(_))
            || matches!(
                token.surface,
                "do" | "does"
                    | "did"
                    | "will"
                    | "would"
                    | "shall"
                    | "should"
                    | "should i"
                    | "let"
                    | "make"
                    | "help"
                    | "please"
                    | "could you"
                    | "can you"
                    | "would you"
                    | "will you"
            )
    };
    let is_doer = |token: &Token<'_>| {
        token.list.is_person()
            || matches!(token.list, List::Ask(_))
            || matches!(token.surface, "it" | "that" | "to" | "not" | "and" | "or")
    };
    let Some(last) = at.checked_sub(1).map(|i| &tokens[i]) else { return tokens.len() > 1 };
    let opens = tokens[at].is_after_stop && tokens.get(at + 1).is_some_and(|next| !next.is_after_stop);
    if opens || is_helping(last) || is_doer(last) || last.surface.ends_with("n't") {
        return true;
    }
    // "Does the app crash": a helping verb, and one noun.
    let between = tokens[..at].iter().rev().take(4).take_while(|token| token.is_content() || is_article(token)).count();
    let n_nouns = tokens[at - between..at].iter().filter(|token| token.is_content()).count();
    n_nouns == 1 && between < at && between <= 3 && is_helping(&tokens[at - between - 1])
}

fn is_article(token: &Token<'_>) -> bool {
    matches!(
        token.surface,
        "a" | "an" | "the" | "my" | "your" | "his" | "her" | "our" | "their" | "its" | "this" | "that"
    )
}
