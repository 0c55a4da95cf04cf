// What went wrong at a provider: the class by status, by words, by the names of types and codes
// (all of them in error_map.def), and the reading of error bodies of every known shape.
//
// Entry points: spelling, class_of_status, refine_class, read_error, redact. None of them fails:
// a body that says nothing gets the class of its status and a message of ours.
#include "translators/core/errors.hpp"

#include <charconv>
#include <cstring>
#include <optional>
#include <string>

#include "translators/json/writer.hpp"

namespace llm {

namespace {

constexpr size_t kMaxMessage = 4096;
constexpr size_t kMaxQuote = 200;

constexpr ErrorSpelling kSpellings[] = {
#define LLM_ERROR(name, openai_status, openai_type, openai_code, anthropic_status, anthropic_type, \
                  gemini_status, gemini_name, elsewhere)                                           \
    {ErrorClass::name, #name,          openai_status, openai_type, openai_code,                    \
     anthropic_status, anthropic_type, gemini_status, gemini_name, elsewhere},
#include "translators/core/error_map.def"
};

struct StatusRow {
    uint16_t status;
    ErrorClass error_class;
};

constexpr StatusRow kStatuses[] = {
#define LLM_ERROR_STATUS(status, name) {status, ErrorClass::name},
#include "translators/core/error_map.def"
};

struct TextRow {
    std::string_view text;
    ErrorClass error_class;
};

constexpr TextRow kTexts[] = {
#define LLM_ERROR_TEXT(text, name) {text, ErrorClass::name},
#include "translators/core/error_map.def"
};

constexpr std::string_view kReasoning[] = {
#define LLM_ERROR_REASONING(text) text,
#include "translators/core/error_map.def"
};

constexpr TextRow kNames[] = {
#define LLM_ERROR_NAME(text, name) {text, ErrorClass::name},
#include "translators/core/error_map.def"
};

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

bool is_alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z');
}

bool starts_with_ignoring_case(std::string_view text, std::string_view lower_case) {
    if (text.size() < lower_case.size()) {
        return false;
    }
    for (size_t i = 0; i < lower_case.size(); ++i) {
        if (lower(text[i]) != lower_case[i]) {
            return false;
        }
    }
    return true;
}

bool contains_ignoring_case(std::string_view text, std::string_view lower_case) {
    for (size_t i = 0; i + lower_case.size() <= text.size(); ++i) {
        if (starts_with_ignoring_case(text.substr(i), lower_case)) {
            return true;
        }
    }
    return false;
}

std::optional<ErrorClass> class_by_words(std::string_view text) {
    text = text.substr(0, kMaxMessage);
    for (const TextRow &row : kTexts) {
        if (contains_ignoring_case(text, row.text)) {
            return row.error_class;
        }
    }
    return std::nullopt;
}

std::optional<ErrorClass> class_by_name(std::string_view name) {
    for (const TextRow &row : kNames) {
        if (name.size() == row.text.size() && starts_with_ignoring_case(name, row.text)) {
            return row.error_class;
        }
    }
    return std::nullopt;
}

// Statuses that say so little that a name in the body is better.
bool is_general(ErrorClass error_class) {
    return error_class == ErrorClass::invalid_request || error_class == ErrorClass::upstream;
}

// An HTTP status written as a number or a numeric string; 0 when it is none.
uint16_t as_status(json::Value value, Arena &arena) {
    int64_t number = 0;
    if (value.is_string()) {
        std::string_view text = json::unescape(value.text(), arena);
        auto result = std::from_chars(text.data(), text.data() + text.size(), number);
        if (result.ec != std::errc() || result.ptr != text.data() + text.size()) {
            return 0;
        }
    } else {
        number = value.as_int().value_or(0);
    }
    return number >= 400 && number <= 599 ? static_cast<uint16_t>(number) : uint16_t{0};
}

// Never cuts inside a UTF-8 character.
std::string_view cut(std::string_view text, size_t size) {
    if (text.size() <= size) {
        return text;
    }
    while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) {
        --size;
    }
    return text.substr(0, size);
}

// What an error body says, all plain text. `hints` are further words for the class.
struct Said {
    std::string_view message;
    std::string_view type;
    std::string_view code;
    std::string_view param;
    std::string hints;
    uint16_t status = 0;

    bool is_empty() const { return message.empty() && type.empty() && code.empty(); }
};

class ErrorReader {
  public:
    explicit ErrorReader(Arena &arena) : arena_(arena) {}

    Said read(json::Value root) {
        Said said;
        if (root.is_array()) {
            root = root.size() > 0 ? *root.items().begin() : json::Value();
        }
        if (root.is_string()) {
            said.message = plain(root);
            return said;
        }
        json::Value error = root.find("error");
        if (error.is_unset()) {
            error = root.find("response").find("error");
        }
        read_object(root, said);
        if (error.is_string()) {
            said.message = plain(error);
        } else if (error.is_object()) {
            // The outer `type` is the envelope's ("error"), not the error's.
            said.type = {};
            read_object(error, said);
        }
        return said;
    }

  private:
    std::string_view plain(json::Value value) { return json::unescape(value.text(), arena_); }

    void take(std::string_view &into, json::Value value) {
        if (value.is_string() && !value.text().empty()) {
            into = plain(value);
        }
    }

    void hint(json::Value value) {
        if (value.is_string()) {
            said_hint(plain(value));
        }
    }

    void said_hint(std::string_view text) {
        if (hints_->size() + text.size() < kMaxMessage) {
            hints_->append(1, ' ').append(text);
        }
    }

    void read_object(json::Value object, Said &said) {
        hints_ = &said.hints;
        read_message(object, said);
        take(said.type, object.find("__type"));
        take(said.type, object.find("error_type"));
        take(said.type, object.find("type"));
        hint(object.find("error_type"));
        take(said.param, object.find("param"));

        json::Value code = object.find("code");
        if (as_status(code, arena_) == 0) {
            take(said.code, code);
        }
        json::Value status = object.find("status");
        if (status.is_string() && as_status(status, arena_) == 0) {
            said_hint(plain(status));
            if (said.type.empty()) {
                said.type = plain(status);
            }
        }
        for (json::Value number : {code, object.find("status_code"), status}) {
            if (uint16_t found = as_status(number, arena_)) {
                said.status = found;
                break;
            }
        }
        for (json::Value detail : object.find("details").items()) {
            hint(detail.find("reason"));
        }
        hint(object.find("innererror").find("code"));
        read_wrapped(object.find("metadata").find("raw"), said);
    }

    void read_message(json::Value object, Said &said) {
        json::Value message = object.find("message");
        message = message.absent() ? object.find("Message") : message;
        if (message.is_object()) {
            // An older Mistral form: message {detail: [...]}.
            object = message;
        }
        take(said.message, message);
        json::Value detail = object.find("detail");
        take(said.message, detail);
        if (detail.is_array() && detail.size() > 0) {
            json::Value first = *detail.items().begin();
            take(said.message, first.find("msg"));
            take(said.type, first.find("type"));
            for (json::Value place : first.find("loc").items()) {
                take(said.param, place);
            }
        }
    }

    // A router's error with the body of the provider behind it, as text or as JSON. Its message
    // is the one that clients know how to read.
    void read_wrapped(json::Value raw, Said &said) {
        if (raw.is_unset() || is_nested_) {
            return;
        }
        std::string_view body = raw.is_string() ? plain(raw) : raw.raw().bytes;
        ErrorReader inner_reader(arena_);
        inner_reader.is_nested_ = true;
        Said inner;
        json::Reader reader;
        if (auto root = reader.parse_unpadded(body)) {
            inner = inner_reader.read(*root);
            for (std::string_view *view :
                 {&inner.message, &inner.type, &inner.code, &inner.param}) {
                *view = arena_.copy(*view);  // the reader's bytes end here
            }
        } else {
            inner.message = body;
        }
        said.message = inner.message.empty() ? said.message : inner.message;
        said.type = inner.type.empty() ? said.type : inner.type;
        said.code = inner.code.empty() ? said.code : inner.code;
        said.param = inner.param.empty() ? said.param : inner.param;
        said_hint(inner.hints);
    }

    Arena &arena_;
    std::string *hints_ = nullptr;
    bool is_nested_ = false;
};

// "upstream returned 502: <html> Bad gateway": the start of a body that is no JSON error.
std::string quote_body(uint16_t status, std::string_view body) {
    std::string message = "upstream returned ";
    if (status == 0) {
        message += "an error";
    } else {
        char digits[8];
        auto result = std::to_chars(digits, digits + sizeof(digits), status);
        message.append(digits, static_cast<size_t>(result.ptr - digits));
    }
    std::string quote;
    for (char c : body.substr(0, kMaxMessage)) {
        bool is_space = static_cast<unsigned char>(c) <= ' ';
        if (!is_space) {
            quote += c;
        } else if (!quote.empty() && quote.back() != ' ') {
            quote += ' ';
        }
    }
    if (!quote.empty() && quote.back() == ' ') {
        quote.pop_back();
    }
    std::string_view shown = cut(quote, kMaxQuote);
    if (shown.empty()) {
        return message + " without a body";
    }
    return message + ": " + std::string(shown);
}

bool is_token_char(char c) {
    return is_alphanumeric(c) || (c != '\0' && strchr("-_*.+/=~", c) != nullptr);
}

// Bytes of a credential at the start of `text`. Providers leave out its middle with dots or with
// one ellipsis character.
size_t token_size(std::string_view text) {
    size_t size = 0;
    while (size < text.size()) {
        if (is_token_char(text[size])) {
            ++size;
        } else if (text.substr(size).starts_with("\xe2\x80\xa6")) {
            size += 3;
        } else {
            break;
        }
    }
    while (size > 0 && text[size - 1] == '.') {
        --size;  // the full stop of the sentence
    }
    return size;
}

// Something that is followed by a credential. `is_prefix`: the mark is part of the credential
// itself, so it must not stand inside a word.
struct CredentialMark {
    std::string_view text;
    size_t min_size;
    bool is_prefix;
};

constexpr CredentialMark kMarks[] = {
    {"bearer ", 12, false},    {"key provided: ", 2, false},
    {"x-api-key: ", 2, false}, {"api-key: ", 2, false},
    {"key=", 2, false},        {"token=", 4, false},
    {"sk-", 3, true},          {"sk_", 8, true},
    {"gsk_", 3, true},         {"xai-", 8, true},
    {"aiza", 20, true},        {"akia", 12, true},
    {"pplx-", 8, true},
};

// Length of what must be kept before a credential at the start of `text`, and of the credential.
bool find_credential(std::string_view text, bool is_word_start, size_t &kept, size_t &masked) {
    for (const CredentialMark &mark : kMarks) {
        if ((mark.is_prefix && !is_word_start) || !starts_with_ignoring_case(text, mark.text)) {
            continue;
        }
        size_t size = token_size(text.substr(mark.text.size()));
        if (size >= mark.min_size) {
            kept = mark.text.size();
            masked = size;
            return true;
        }
    }
    return false;
}

}  // namespace

const ErrorSpelling &spelling(ErrorClass error_class) {
    size_t index = static_cast<size_t>(error_class);
    constexpr size_t kCount = sizeof(kSpellings) / sizeof(kSpellings[0]);
    static_assert(kCount == static_cast<size_t>(ErrorClass::stream_truncated) + 1);
    return kSpellings[index < kCount ? index : static_cast<size_t>(ErrorClass::upstream)];
}

ErrorClass class_of_status(uint16_t status) {
    for (const StatusRow &row : kStatuses) {
        if (row.status == status) {
            return row.error_class;
        }
    }
    return status >= 400 && status < 500 ? ErrorClass::invalid_request : ErrorClass::upstream;
}

ErrorClass refine_class(ErrorClass by_status, std::string_view message, std::string_view type,
                        std::string_view code) {
    bool reads_words = by_status == ErrorClass::invalid_request ||
                       by_status == ErrorClass::permission || by_status == ErrorClass::not_found ||
                       by_status == ErrorClass::too_large;
    for (std::string_view text : {message, type, code}) {
        std::optional<ErrorClass> found = class_by_words(text);
        if (!found) {
            continue;
        }
        // A rate limit's words speak of tokens and windows too: only money is told from them.
        if (reads_words || (by_status == ErrorClass::rate_limit && *found == ErrorClass::billing)) {
            return *found;
        }
    }
    if (is_general(by_status)) {
        for (std::string_view name : {type, code}) {
            std::optional<ErrorClass> found = class_by_name(name);
            if (found && !is_general(*found)) {
                return *found;
            }
        }
    }
    return by_status;
}

ApiError read_error(uint16_t status, json::Value root, std::string_view body, Arena &arena) {
    Said said = ErrorReader(arena).read(root);
    if (status < 400) {
        status = said.status;  // in a stream, or a 200 that is none
    }

    ApiError error;
    error.status = status;
    std::string words = said.hints;
    words.append(1, ' ').append(said.message);
    if (status != 0) {
        error.error_class = refine_class(class_of_status(status), words, said.type, said.code);
    } else {
        std::optional<ErrorClass> named = class_by_name(said.type);
        named = named ? named : class_by_name(said.code);
        error.error_class =
            refine_class(named.value_or(ErrorClass::invalid_request), words, said.type, said.code);
        if (!named && error.error_class == ErrorClass::invalid_request) {
            error.error_class = ErrorClass::upstream;  // nothing blames the request
        }
    }

    std::string ours;
    std::string_view message = said.message;
    if (message.empty()) {
        ours = said.is_empty() ? quote_body(status, body) : std::string(said.type);
        message = ours.empty() ? said.code : std::string_view(ours);
    }
    error.message = json::escape(redact(message, arena), arena);
    error.code = json::escape(cut(said.code, kMaxQuote), arena);
    error.param = json::escape(cut(said.param, kMaxQuote), arena);
    return error;
}

std::string_view redact(std::string_view message, Arena &arena) {
    message = cut(message, kMaxMessage);
    std::string masked;
    masked.reserve(message.size());
    bool is_changed = false;
    for (size_t i = 0; i < message.size();) {
        bool is_word_start = i == 0 || !is_alphanumeric(message[i - 1]);
        size_t kept = 0;
        size_t hidden = 0;
        if (find_credential(message.substr(i), is_word_start, kept, hidden)) {
            masked.append(message.substr(i, kept)).append("***");
            i += kept + hidden;
            is_changed = true;
        } else {
            masked += message[i++];
        }
    }
    if (!is_changed) {
        return message;
    }
    return arena.copy(cut(masked, kMaxMessage));
}

bool is_about_reasoning(const ApiError &error) {
    for (std::string_view text : kReasoning) {
        if (contains_ignoring_case(error.message.bytes, text)) {
            return true;
        }
    }
    return false;
}

}  // namespace llm
