// See other_endpoints.hpp. A new endpoint is a row.
#include "translators/provider/other_endpoints.hpp"

#include "translators/dialect/openai_answer.hpp"
#include "translators/dialect/responses_answer.hpp"
#include "translators/dialect/usage_count.hpp"

namespace llm {

namespace {

using json::Value;

constexpr DialectId kChat = DialectId::openai;

constexpr OtherEndpoint kEndpoints[] = {
    {"/embeddings", kChat, "/embeddings", {}, {}, true},
    {"/moderations", kChat, "/moderations", {}, {}, true},
    {"/images/generations", kChat, "/images/generations", {}, {}},
    {"/images/edits", kChat, "/images/edits", {}, {}},
    {"/images/variations", kChat, "/images/variations", {}, {}},
    {"/audio/speech", kChat, "/audio/speech", {}, {}},
    {"/audio/transcriptions", kChat, "/audio/transcriptions", {}, {}},
    {"/audio/translations", kChat, "/audio/translations", {}, {}},
    {"/rerank", kChat, "/rerank", "/v1/rerank", {}, true},
    {"/v2/rerank", kChat, "/rerank", "/v2/rerank", {}, true},
    {"/responses/compact", DialectId::responses, {}, {}, "/responses/compact", true},
};

constexpr OtherEndpoint kGeminiEndpoints[] = {
    {"embedContent", DialectId::gemini, {}, {}, {}, true},
    {"batchEmbedContents", DialectId::gemini, {}, {}, {}, true},
};

constexpr std::string_view kModels = "models/";

std::string replaced(std::string_view path, std::string_view part, std::string_view by) {
    size_t at = by.empty() ? std::string_view::npos : path.find(part);
    if (at == std::string_view::npos) {
        return {};
    }
    return std::string(path.substr(0, at)).append(by).append(path.substr(at + part.size()));
}

void replace_text(Value value, std::string_view plain, std::vector<Edit> &edits) {
    ByteBuffer text;
    json::Writer(text).plain(plain);
    auto end = static_cast<uint32_t>(value.offset() + value.raw().bytes.size());
    edits.push_back({value.offset(), end, std::string(text.view())});
}

int64_t first_count(std::initializer_list<Value> values) {
    for (Value value : values) {
        if (int64_t count = count_of(value); count > 0) {
            return count;
        }
    }
    return 0;
}

}  // namespace

const OtherEndpoint *find_other_endpoint(std::string_view path) {
    for (const OtherEndpoint &endpoint : kEndpoints) {
        if (endpoint.path == path) {
            return &endpoint;
        }
    }
    return nullptr;
}

const OtherEndpoint *find_gemini_endpoint(std::string_view operation) {
    for (const OtherEndpoint &endpoint : kGeminiEndpoints) {
        if (endpoint.path == operation) {
            return &endpoint;
        }
    }
    return nullptr;
}

std::string other_path(const OtherEndpoint &endpoint, DialectId dialect,
                       std::string_view chat_path) {
    if (endpoint.client == DialectId::gemini) {
        return dialect == DialectId::gemini ? replaced(chat_path, "generateContent", endpoint.path)
                                            : std::string();
    }
    switch (dialect) {
        case DialectId::openai:
            return replaced(chat_path, "/chat/completions", endpoint.openai);
        case DialectId::cohere:
            return replaced(chat_path, "/v2/chat", endpoint.cohere);
        case DialectId::responses:
            return replaced(chat_path, "/responses", endpoint.responses);
        default:
            return {};
    }
}

Status splice_other(const OtherEndpoint &endpoint, Value root, std::string_view model,
                    std::vector<Edit> &edits) {
    Value named = root["model"];
    if (endpoint.client != DialectId::gemini) {
        if (!named.is_string()) {
            return invalid("model must be a string", "model");
        }
        replace_text(named, model, edits);
        return {};
    }
    // The path names it; a body may repeat it, and each request of a batch must.
    std::string full = std::string(kModels).append(model);
    bool is_first = root["requests"].offset() > named.offset();
    if (named.is_string() && is_first) {
        replace_text(named, full, edits);
    }
    for (Value request : root["requests"].items()) {
        if (Value inner = request["model"]; inner.is_string()) {
            replace_text(inner, full, edits);
        }
    }
    if (named.is_string() && !is_first) {
        replace_text(named, full, edits);
    }
    return {};
}

bool read_other_usage(Value root, Usage &usage) {
    Value object = root["usage"];
    if (openai::read_usage(object, usage) || responses::read_usage(object, usage)) {
        usage.known = usage.known || usage.input > 0;  // most have no output
        return true;
    }
    Value billed = root["meta"]["billed_units"];
    int64_t input = first_count({object["total_tokens"], billed["input_tokens"],
                                 root["meta"]["tokens"]["input_tokens"],
                                 root["usageMetadata"]["promptTokenCount"]});
    if (input == 0) {
        return false;
    }
    usage = {};
    usage.known = true;
    usage.input = input;
    usage.output = first_count({billed["output_tokens"]});
    return true;
}

}  // namespace llm
