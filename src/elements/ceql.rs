//! CEQL, the query language of `where`: comparisons joined by `AND` and `OR`. This file only parses; `hub` translates
//! a clause for the store. Pure.
//!
//! Source: Cloud Elements, "CEQL reference".

use std::{fmt, ops::Range};

/// Longest clause that is parsed; those in use are shorter.
const MAX_LENGTH: usize = 4096;
/// Deepest nesting of parentheses.
const MAX_DEPTH: usize = 16;

/// A parsed clause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// One comparison.
    Term(Term),
    /// Both sides hold.
    And(Box<Expression>, Box<Expression>),
    /// One side holds.
    Or(Box<Expression>, Box<Expression>),
}

/// One comparison of a field with values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// The field's name, such as `date_modified`.
    pub field: String,
    /// The comparison.
    pub operator: Operator,
    /// The operands: one value, several for `IN`, none for `IS NULL`.
    pub values: Vec<String>,
    /// Byte range of the values within the clause.
    pub values_at: Range<usize>,
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `LIKE`
    Like,
    /// `IN`
    In,
    /// `IS NULL`
    IsNull,
}

impl Operator {
    /// Whether it selects what lies on one side of a value.
    pub fn is_range(self) -> bool {
        matches!(self, Self::Less | Self::LessOrEqual | Self::Greater | Self::GreaterOrEqual)
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Like => "LIKE",
            Self::In => "IN",
            Self::IsNull => "IS NULL",
        })
    }
}

/// Why a text is not valid CEQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CeqlError {
    /// The clause is longer than 4,096 bytes.
    #[error("`where` is longer than 4,096 bytes")]
    TooLong,
    /// Parentheses are nested too deeply.
    #[error("`where` has too many parentheses within each other")]
    TooDeep,
    /// A quote is not closed.
    #[error("`where` has a quote at byte {0} that is not closed")]
    OpenQuote(usize),
    /// Something else is expected at this byte.
    #[error("`where` is no CEQL: {0} is expected at byte {1}")]
    Expected(&'static str, usize),
}

impl Expression {
    /// Parses a clause. Values may be in single quotes, in double quotes, or bare.
    ///
    /// # Errors
    /// [`CeqlError`] says what is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, CeqlError> {
        if text.len() > MAX_LENGTH {
            return Err(CeqlError::TooLong);
        }
        let mut parser = Parser { text, at: 0 };
        let expression = parser.either(0)?;
        parser.skip_blanks();
        match parser.at == text.len() {
            true => Ok(expression),
            false => Err(CeqlError::Expected("`AND`, `OR` or the end", parser.at)),
        }
    }

    /// The comparisons that all have to hold; `None` if there is an `OR`.
    pub fn conjunction(&self) -> Option<Vec<&Term>> {
        match self {
            Self::Term(term) => Some(vec![term]),
            Self::And(left, right) => {
                let mut terms = left.conjunction()?;
                terms.extend(right.conjunction()?);
                Some(terms)
            }
            Self::Or(..) => None,
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

/// Longest first, so that `<=` is not read as `<`.
const SYMBOLS: [(&str, Operator); 8] = [
    ("!=", Operator::NotEqual),
    ("<>", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("==", Operator::Equal),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
];

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn symbol(&mut self, symbol: &str) -> bool {
        self.skip_blanks();
        let is_there = self.rest().starts_with(symbol);
        if is_there {
            self.at += symbol.len();
        }
        is_there
    }

    /// Consumes a word, whatever its case, unless more word characters follow.
    fn keyword(&mut self, word: &str) -> bool {
        self.skip_blanks();
        let rest = self.rest();
        let is_there = rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
            && !rest[word.len()..].starts_with(is_word);
        if is_there {
            self.at += word.len();
        }
        is_there
    }

    fn either(&mut self, depth: usize) -> Result<Expression, CeqlError> {
        let mut left = self.all(depth)?;
        while self.keyword("OR") {
            left = Expression::Or(Box::new(left), Box::new(self.all(depth)?));
        }
        Ok(left)
    }

    fn all(&mut self, depth: usize) -> Result<Expression, CeqlError> {
        let mut left = self.one(depth)?;
        while self.keyword("AND") {
            left = Expression::And(Box::new(left), Box::new(self.one(depth)?));
        }
        Ok(left)
    }

    fn one(&mut self, depth: usize) -> Result<Expression, CeqlError> {
        if !self.symbol("(") {
            return self.term().map(Expression::Term);
        }
        if depth == MAX_DEPTH {
            return Err(CeqlError::TooDeep);
        }
        let inner = self.either(depth + 1)?;
        if self.symbol(")") { Ok(inner) } else { Err(CeqlError::Expected("`)`", self.at)) }
    }

    fn term(&mut self) -> Result<Term, CeqlError> {
        self.skip_blanks();
        let length = self.rest().find(|c| !is_word(c)).unwrap_or(self.rest().len());
        if length == 0 {
            return Err(CeqlError::Expected("the name of a field", self.at));
        }
        let field = self.rest()[..length].to_owned();
        self.at += length;
        let operator = self.operator()?;
        self.skip_blanks();
        let from = self.at;
        let values = match operator {
            Operator::IsNull => Vec::new(),
            Operator::In => self.list()?,
            _ => vec![self.value()?],
        };
        Ok(Term { field, operator, values, values_at: from..self.at })
    }

    fn operator(&mut self) -> Result<Operator, CeqlError> {
        if let Some((_, operator)) = SYMBOLS.iter().find(|(symbol, _)| self.symbol(symbol)) {
            return Ok(*operator);
        }
        if self.keyword("LIKE") {
            return Ok(Operator::Like);
        }
        if self.keyword("IN") {
            return Ok(Operator::In);
        }
        if self.keyword("IS") && self.keyword("NULL") {
            return Ok(Operator::IsNull);
        }
        Err(CeqlError::Expected("an operator (=, !=, <, <=, >, >=, LIKE, IN, IS NULL)", self.at))
    }

    fn list(&mut self) -> Result<Vec<String>, CeqlError> {
        if !self.symbol("(") {
            return Err(CeqlError::Expected("`(`", self.at));
        }
        let mut values = vec![self.value()?];
        while self.symbol(",") {
            values.push(self.value()?);
        }
        if self.symbol(")") { Ok(values) } else { Err(CeqlError::Expected("`,` or `)`", self.at)) }
    }

    fn value(&mut self) -> Result<String, CeqlError> {
        self.skip_blanks();
        match self.rest().chars().next() {
            Some(quote @ ('\'' | '"')) => self.quoted(quote),
            _ => self.bare(),
        }
    }

    /// A quote within quotes is doubled, or preceded by a backslash.
    fn quoted(&mut self, quote: char) -> Result<String, CeqlError> {
        let opened = self.at;
        let mut value = String::new();
        let mut chars = self.rest()[1..].char_indices().peekable();
        while let Some((index, next)) = chars.next() {
            let escaped = match next {
                '\\' => chars.next_if(|(_, after)| *after == quote || *after == '\\'),
                _ if next == quote => chars.next_if(|(_, after)| *after == quote),
                _ => None,
            };
            match escaped {
                Some((_, escaped)) => value.push(escaped),
                None if next == quote => {
                    self.at = opened + 1 + index + 1;
                    return Ok(value);
                }
                None => value.push(next),
            }
        }
        Err(CeqlError::OpenQuote(opened))
    }

    fn bare(&mut self) -> Result<String, CeqlError> {
        let ends = |c: char| c.is_whitespace() || "(),'\"=<>!".contains(c);
        let length = self.rest().find(ends).unwrap_or(self.rest().len());
        if length == 0 {
            return Err(CeqlError::Expected("a value", self.at));
        }
        let value = self.rest()[..length].to_owned();
        self.at += length;
        Ok(value)
    }
}

/// Whether a character may be part of a field's name.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || "_.:-[]".contains(c)
}

#[cfg(test)]
mod tests;
