// See render_parts.hpp.
#include "translators/dialect/render_parts.hpp"

#include <algorithm>
#include <utility>

namespace llm {

namespace {

constexpr JsonText kLine = {"\\n"};

void paragraph(bool &is_first, json::Writer &writer) {
    if (!is_first) {
        writer.piece(kParagraph);
    }
    is_first = false;
}

}  // namespace

bool PartText::has_text(const ir::Part &part) {
    if (const auto *text = std::get_if<ir::Text>(&part.is)) {
        return !text->text.empty();
    }
    if (const auto *document = std::get_if<ir::Document>(&part.is)) {
        return document->source.kind == ir::SourceKind::text ||
               document->source.kind == ir::SourceKind::blocks;
    }
    if (const auto *opaque = std::get_if<ir::Opaque>(&part.is)) {
        return opaque->dialect == DialectId::anthropic &&
               json::equals(opaque->type, "search_result");
    }
    return std::holds_alternative<ir::Refusal>(part.is);
}

void PartText::write(const ir::Part &part, json::Writer &writer) {
    if (const auto *text = std::get_if<ir::Text>(&part.is)) {
        writer.piece(text->text);
    } else if (const auto *refusal = std::get_if<ir::Refusal>(&part.is)) {
        writer.piece(refusal->text);
    } else if (const auto *document = std::get_if<ir::Document>(&part.is)) {
        for (JsonText heading : {document->title, document->context}) {
            if (!heading.empty()) {
                writer.piece(heading).piece(kLine);
            }
        }
        if (document->source.kind == ir::SourceKind::text) {
            writer.piece(document->source.data);
        } else {
            write_blocks(document->source.blocks, writer);
        }
    } else if (const auto *opaque = std::get_if<ir::Opaque>(&part.is)) {
        write_search_result(*opaque, writer);
    }
}

void PartText::write_blocks(RawJson blocks, json::Writer &writer) {
    Result<json::Value> array = reader_.parse_unpadded(blocks.bytes);
    if (!array) {
        return;
    }
    if (array->is_string()) {
        writer.piece(array->text());
    }
    bool is_first = true;
    for (json::Value block : array->items()) {
        if (JsonText text = block["text"].text(); !text.empty()) {
            paragraph(is_first, writer);
            writer.piece(text);
        }
    }
}

// A search_result block of messages: its title, where it is from, its texts.
void PartText::write_search_result(const ir::Opaque &opaque, json::Writer &writer) {
    Result<json::Value> block = reader_.parse_unpadded(opaque.json.bytes);
    if (!block) {
        return;
    }
    bool is_first = true;
    for (std::string_view name : {"title", "source"}) {
        if (JsonText text = block.value()[name].text(); !text.empty()) {
            if (!is_first) {
                writer.piece(kLine);
            }
            writer.piece(text);
            is_first = false;
        }
    }
    for (json::Value content : block.value()["content"].items()) {
        if (JsonText text = content["text"].text(); !text.empty()) {
            paragraph(is_first, writer);
            writer.piece(text);
        }
    }
}

Step match_results(const std::vector<ir::Turn> &turns, size_t assistant, Arena &arena) {
    Step step;
    std::vector<std::string_view> call_ids;
    size_t next = 0;
    if (assistant < turns.size()) {
        next = assistant + 1;
        for (const ir::Part &part : turns[assistant].parts) {
            if (const auto *call = std::get_if<ir::ToolCall>(&part.is)) {
                step.calls.push_back({call, nullptr});
                call_ids.push_back(json::unescape(call->id, arena));
            }
        }
    }

    // Sorted by id, in the order of their coming where ids are equal: the last one counts.
    using Found = std::pair<std::string_view, const ir::ToolResult *>;
    std::vector<Found> results;
    for (; next < turns.size() && turns[next].role != ir::Role::assistant; ++next) {
        for (const ir::Part &part : turns[next].parts) {
            if (const auto *result = std::get_if<ir::ToolResult>(&part.is)) {
                results.push_back({json::unescape(result->call_id, arena), result});
            }
        }
    }
    auto by_id = [](const Found &a, const Found &b) { return a.first < b.first; };
    std::stable_sort(results.begin(), results.end(), by_id);

    for (size_t i = 0; i < call_ids.size(); ++i) {
        auto behind =
            std::upper_bound(results.begin(), results.end(), Found{call_ids[i], nullptr}, by_id);
        if (behind != results.begin() && std::prev(behind)->first == call_ids[i]) {
            step.calls[i].result = std::prev(behind)->second;
            step.has_replaced |=
                std::prev(behind) != results.begin() && std::prev(behind, 2)->first == call_ids[i];
        }
    }
    std::sort(call_ids.begin(), call_ids.end());
    for (const Found &result : results) {
        step.results.push_back(result.second);
        if (!std::binary_search(call_ids.begin(), call_ids.end(), result.first)) {
            step.strays.push_back(result.second);
        }
    }
    return step;
}

bool says_error(JsonText text) {
    return text.bytes.starts_with("Error") || text.bytes.starts_with("error");
}

}  // namespace llm
