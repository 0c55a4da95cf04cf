// See block_text.hpp. Texts are joined as they are, escaped.
#include "translators/dialect/block_text.hpp"

#include "translators/json/reader.hpp"
#include "translators/json/writer.hpp"

namespace llm {

JsonText text_of_blocks(RawJson blocks, Arena &arena) {
    json::Reader reader;
    ByteBuffer out;
    auto add = [&out](JsonText text) {
        if (!text.empty()) {
            out.append(out.size() > 0 ? "\\n\\n" : "");
            out.append(text.bytes);
        }
    };
    if (Result<json::Value> array = reader.parse_unpadded(blocks.bytes)) {
        add(array->text());
        for (json::Value block : array->items()) {
            add(block.find("text").text());
        }
    }
    return {arena.copy(out.view())};
}

}  // namespace llm
