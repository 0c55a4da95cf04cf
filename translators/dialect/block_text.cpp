// See block_text.hpp. Texts are joined as they are, escaped.
#include "translators/dialect/block_text.hpp"

#include "translators/json/reader.hpp"
#include "translators/json/writer.hpp"

namespace llm {

namespace {

void add(JsonText text, std::string_view between, ByteBuffer &out) {
    if (!text.empty()) {
        out.append(out.size() > 0 ? between : std::string_view());
        out.append(text.bytes);
    }
}

constexpr std::string_view kLine = "\\n";
constexpr std::string_view kParagraph = "\\n\\n";

}  // namespace

JsonText text_of_blocks(RawJson blocks, Arena &arena) {
    json::Reader reader;
    ByteBuffer out;
    if (Result<json::Value> array = reader.parse_unpadded(blocks.bytes)) {
        add(array->text(), kParagraph, out);
        for (json::Value block : array->items()) {
            add(block.find("text").text(), kParagraph, out);
        }
    }
    return {arena.copy(out.view())};
}

bool is_search_result(const ir::Opaque &opaque) {
    return opaque.dialect == DialectId::anthropic && json::equals(opaque.type, "search_result");
}

JsonText text_of_search_result(RawJson block, Arena &arena) {
    json::Reader reader;
    ByteBuffer out;
    if (Result<json::Value> result = reader.parse_unpadded(block.bytes)) {
        add(result->find("title").text(), kLine, out);
        add(result->find("source").text(), kLine, out);
        for (json::Value content : result->find("content").items()) {
            add(content.find("text").text(), kParagraph, out);
        }
    }
    return {arena.copy(out.view())};
}

}  // namespace llm
