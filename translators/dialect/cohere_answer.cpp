// See cohere_answer.hpp.
#include "translators/dialect/cohere_answer.hpp"

#include <charconv>

#include "translators/dialect/usage_count.hpp"

namespace llm::cohere {

namespace {

using json::Value;

struct FinishRow {
    std::string_view native;
    ir::Finish finish;
};

constexpr FinishRow kFinishes[] = {
    {"COMPLETE", ir::Finish::stop},     {"STOP_SEQUENCE", ir::Finish::stop_sequence},
    {"MAX_TOKENS", ir::Finish::length}, {"TOOL_CALL", ir::Finish::tool_calls},
    {"ERROR", ir::Finish::error},       {"ERROR_LIMIT", ir::Finish::error},
    {"TIMEOUT", ir::Finish::error},     {"ERROR_TOXIC", ir::Finish::content_filter},
};

void append_number(double number, ByteBuffer &out) {
    char digits[32];
    auto result = std::to_chars(digits, digits + sizeof digits, number);
    out.append({digits, static_cast<size_t>(result.ptr - digits)});
}

// One entry: Cohere gives a piece of text with all of its tokens, chat one token at a time. The
// piece stands as one token then, as probable as its tokens together.
void append_entry(Value item, Arena &arena, ByteBuffer &entries) {
    Value values = item["logprobs"];
    double sum = 0;
    for (Value value : values.items()) {
        sum += value.as_double().value_or(0);
    }
    bool is_one = values.size() == 1 && (*values.items().begin()).is_number();
    if (entries.size() > 0) {
        entries.append(',');
    }
    json::Writer writer(entries);
    writer.object().key("token").text(item["text"].text()).key("logprob");
    if (is_one) {
        writer.raw((*values.items().begin()).raw());
    } else {
        ByteBuffer number;
        append_number(sum, number);
        writer.raw({number.view()});
    }
    writer.key("bytes").array();
    for (char byte : json::unescape(item["text"].text(), arena)) {
        writer.number(static_cast<unsigned char>(byte));
    }
    writer.end().key("top_logprobs").array().end().end();
}

}  // namespace

bool read_usage(Value object, Usage &usage) {
    Value tokens = object["tokens"];
    tokens = tokens.is_object() ? tokens : object["billed_units"];
    if (!tokens.is_object()) {
        return false;
    }
    usage = Usage();
    usage.known = told_count(tokens["input_tokens"]) && told_count(tokens["output_tokens"]);
    usage.input = count_of(tokens["input_tokens"]);
    usage.output = count_of(tokens["output_tokens"]);
    usage.reasoning = count_of(tokens["reasoning_tokens"]);
    usage.cache_read = count_of(object["cached_tokens"]);
    usage.normalise();
    return true;
}

ir::Finish read_finish(JsonText native, bool has_calls) {
    ir::Finish finish = native.empty() ? ir::Finish::stop : ir::Finish::other;
    for (const FinishRow &row : kFinishes) {
        if (json::equals(native, row.native)) {
            finish = row.finish;
            break;
        }
    }
    return finish == ir::Finish::stop && has_calls ? ir::Finish::tool_calls : finish;
}

ir::ErrorClass error_class_of(JsonText native) {
    return json::equals(native, "TIMEOUT") ? ir::ErrorClass::timeout : ir::ErrorClass::upstream;
}

std::optional<int64_t> cited_block(Value citation) {
    Value type = citation["type"];
    if (!citation.is_object() || (type.is_string() && !type.equals("TEXT_CONTENT"))) {
        return std::nullopt;
    }
    return citation["content_index"].as_int().value_or(-1);
}

ir::Citation read_citation(Value citation) {
    ir::Citation cited;
    cited.start = citation["start"].as_int().value_or(-1);
    cited.end = citation["end"].as_int().value_or(-1);
    cited.quote = citation["text"].text();
    for (Value source : citation["sources"].items()) {
        Value holder = source["document"];
        holder = holder.is_object() ? holder : source["tool_output"];
        cited.url = holder["url"].text();
        cited.title = holder["title"].text();
        if (JsonText id = source["id"].text(); cited.url.empty() && id.bytes.starts_with("http")) {
            cited.url = id;
        }
        break;
    }
    return cited;
}

void append_logprobs(Value logprobs, Arena &arena, ByteBuffer &entries) {
    if (logprobs.is_object() && logprobs["text"].is_string()) {
        append_entry(logprobs, arena, entries);
    }
    for (Value item : logprobs.items()) {
        if (item.is_object() && item["text"].is_string()) {
            append_entry(item, arena, entries);
        }
    }
}

}  // namespace llm::cohere
