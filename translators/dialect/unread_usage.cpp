// A scan for a few names, and the readers of every dialect behind it. What does not look like
// counts is passed over: the answer is not ours to judge.
#include "translators/dialect/unread_usage.hpp"

#include <algorithm>

#include "translators/dialect/bedrock.hpp"
#include "translators/dialect/cohere_answer.hpp"
#include "translators/dialect/ollama_answer.hpp"
#include "translators/dialect/openai_answer.hpp"
#include "translators/dialect/responses_answer.hpp"
#include "translators/dialect/usage_count.hpp"
#include "translators/wire/http1.hpp"

namespace llm {
namespace {

constexpr size_t kMaxMember = 16 * 1024;  // counts are a few hundred bytes
constexpr size_t kMaxModel = 512;
constexpr double kMostSeconds = 1e6;

enum Kind : size_t { kCounts, kModel, kFlatCount };

struct Name {
    std::string_view text;  // behind the first quote
    Kind kind;
};

constexpr Name kNames[] = {
    {"usage\"", kCounts},
    {"usageMetadata\"", kCounts},
    {"meta\"", kCounts},  // Cohere's embeddings
    {"model\"", kModel},
    {"modelVersion\"", kModel},
    {"prompt_eval_count\"", kFlatCount},
    {"eval_count\"", kFlatCount},
};

bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

size_t skip_space(std::string_view bytes, size_t at) {
    while (at < bytes.size() && is_space(bytes[at])) {
        at++;
    }
    return at;
}

// One past the end of the object, string or number that begins at `at`; npos: it is not whole.
size_t end_of_value(std::string_view bytes, size_t at) {
    size_t depth = 0;
    bool in_string = false;
    for (; at < bytes.size(); at++) {
        char c = bytes[at];
        if (in_string) {
            if (c == '\\') {
                at++;
            } else if (c == '"') {
                in_string = false;
                if (depth == 0) {
                    return at + 1;
                }
            }
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if (c == '}' || c == ']' || c == ',') {
            if (depth == 0) {
                return at;
            }
            depth -= c == ',' ? 0 : 1;
            if (depth == 0) {
                return at + 1;
            }
        }
    }
    return std::string_view::npos;
}

std::string_view between(std::string_view text, std::string_view begin, char end) {
    size_t at = text.find(begin);
    if (at == std::string_view::npos) {
        return {};
    }
    text.remove_prefix(at + begin.size());
    size_t stop = text.find(end);
    return stop == std::string_view::npos ? std::string_view() : text.substr(0, stop);
}

}  // namespace

UnreadUsage::UnreadUsage(bool is_invoke) {
    if (is_invoke) {
        invoke_ = std::make_unique<anthropic::InvokeStream>();
    }
}

void UnreadUsage::feed(std::string_view bytes) {
    if (invoke_ != nullptr) {
        unwrapped_.clear();
        invoke_->feed(bytes, unwrapped_);
        bytes = unwrapped_.view();
    }
    if (!pending_.empty()) {
        pending_.append(bytes);
        std::string joined;
        joined.swap(pending_);
        scan(joined);
        return;
    }
    scan(bytes);
}

void UnreadUsage::scan(std::string_view bytes) {
    size_t at = 0;
    for (;;) {
        at = bytes.find('"', at);
        if (at == std::string_view::npos) {
            return;
        }
        std::string_view rest = bytes.substr(at + 1);
        size_t stop = std::string_view::npos;
        for (const Name &name : kNames) {
            if (rest.starts_with(name.text)) {
                stop = take_member(bytes, at + 1 + name.text.size(), name.kind);
                break;
            }
            if (name.text.starts_with(rest)) {
                stop = std::string_view::npos;
                pending_.assign(bytes.substr(at));
                return;
            }
        }
        if (!pending_.empty()) {
            pending_.assign(bytes.substr(at));
            if (pending_.size() > kMaxMember) {
                pending_.clear();
            }
            return;
        }
        at = stop == std::string_view::npos ? at + 1 : stop;
    }
}

// Takes what stands behind a name. Returns where to go on; npos: it is none of ours. A member that
// is not whole leaves a mark in pending_.
size_t UnreadUsage::take_member(std::string_view bytes, size_t behind, size_t kind) {
    size_t colon = skip_space(bytes, behind);
    size_t begin = colon < bytes.size() ? skip_space(bytes, colon + 1) : colon;
    if (colon < bytes.size() && bytes[colon] != ':') {
        return std::string_view::npos;
    }
    if (begin < bytes.size() && bytes[begin] != (kind == kCounts  ? '{'
                                                 : kind == kModel ? '"'
                                                                  : bytes[begin])) {
        return std::string_view::npos;
    }
    size_t end = begin < bytes.size() ? end_of_value(bytes, begin) : std::string_view::npos;
    if (end == std::string_view::npos) {
        pending_ = "\"";
        return end;
    }
    std::string_view value = bytes.substr(begin, end - begin);
    if (kind == kCounts) {
        take_object(value);
    } else if (kind == kModel) {
        if (model_.empty() && value.size() <= kMaxModel) {
            model_ = value.substr(1, value.size() - 2);
        }
    } else {
        std::string flat = "{\"";
        size_t quote = bytes.rfind('"', behind - 2);
        flat.append(bytes.substr(quote + 1, end - quote - 1)).append("}");
        if (Result<json::Value> root = reader_.parse_unpadded(flat)) {
            Usage read;
            if (ollama::read_usage(*root, read)) {
                usage_.known = true;
                usage_.input = std::max(usage_.input, read.input);
                usage_.output = std::max(usage_.output, read.output);
            }
        }
    }
    return end;
}

void UnreadUsage::take_object(std::string_view object) {
    Result<json::Value> parsed = reader_.parse_unpadded(object);
    if (!parsed || !parsed->is_object()) {
        return;
    }
    json::Value counts = *parsed;
    Usage read;
    if (counts["inputTokens"].is_number() || counts["outputTokens"].is_number()) {
        bedrock::read_usage(counts, read);
    } else if (counts["promptTokenCount"].is_number() ||
               counts["candidatesTokenCount"].is_number()) {
        gemini_.merge(counts);
        read = gemini_.to_usage();
    } else if (std::optional<double> seconds = counts["seconds"].as_double();
               seconds && *seconds > 0 && *seconds < kMostSeconds) {
        read.known = true;  // speech that is billed by time
        read.audio_ms = int64_t(*seconds * 1000 + 0.5);
    } else if (counts["billed_units"].is_object() || counts["tokens"].is_object()) {
        cohere::read_usage(counts, read);
    } else if (openai::read_usage(counts, read)) {
        // that was it
    } else if (counts["total_tokens"].is_number()) {
        if (!responses::read_usage(counts, read)) {
            read.input = count_of(counts["total_tokens"]);  // embeddings and rankings of a few
        }
    } else if (counts["input_tokens"].is_number() || counts["output_tokens"].is_number()) {
        messages_.merge(counts);  // in two parts, the second without the input
        read = messages_.to_usage();
    }
    if (says_something(read)) {
        usage_ = read;
        usage_.known = true;  // nothing else is known of what is not read, and nothing estimated
    }
}

std::string unread_model(std::string_view path, std::string_view body, json::Value root) {
    Arena arena;
    if (json::Value model = root["model"]; model.is_string()) {
        return std::string(json::unescape(model.text(), arena));
    }
    std::string_view found = between(body.substr(0, kMaxMember), "name=\"model\"\r\n\r\n", '\r');
    if (found.empty()) {
        size_t tail = body.size() - std::min(body.size(), kMaxMember);
        found = between(body.substr(tail), "name=\"model\"\r\n\r\n", '\r');
    }
    if (found.empty()) {
        found = between(path, "/models/", ':');  // Gemini
    }
    if (found.empty()) {
        found = between(path, "/model/", '/');  // Bedrock
    }
    return std::string(found.substr(0, kMaxModel));
}

}  // namespace llm
