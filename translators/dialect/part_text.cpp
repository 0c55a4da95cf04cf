// See part_text.hpp. Several texts of one block are paragraphs of one text.
#include "translators/dialect/part_text.hpp"

namespace llm {

namespace {

class PartText {
  public:
    PartText(json::Writer &writer, json::Reader &reader) : writer_(writer), reader_(reader) {}

    void document(const ir::Document &document) {
        for (JsonText heading : {document.title, document.context}) {
            if (!heading.empty()) {
                writer_.piece(heading).piece(JsonText{"\\n"});
            }
        }
        if (document.source.kind == ir::SourceKind::text) {
            writer_.piece(document.source.data);
        } else {
            blocks(document.source.blocks);
        }
    }

    // A search_result block: its title, where it is from, its texts.
    void search_result(RawJson json) {
        Result<json::Value> block = reader_.parse_unpadded(json.bytes);
        if (!block) {
            return;
        }
        bool is_first = true;
        for (std::string_view name : {"title", "source"}) {
            if (JsonText text = block.value()[name].text(); !text.empty()) {
                if (!is_first) {
                    writer_.piece(JsonText{"\\n"});
                }
                writer_.piece(text);
                is_first = false;
            }
        }
        texts(block.value()["content"], is_first);
    }

  private:
    void blocks(RawJson blocks) {
        Result<json::Value> array = reader_.parse_unpadded(blocks.bytes);
        if (!array) {
            return;
        }
        if (array->is_string()) {
            writer_.piece(array->text());
        }
        texts(*array, true);
    }

    void texts(json::Value array, bool is_first) {
        for (json::Value block : array.items()) {
            if (JsonText text = block["text"].text(); !text.empty()) {
                if (!is_first) {
                    writer_.piece(JsonText{"\\n\\n"});
                }
                is_first = false;
                writer_.piece(text);
            }
        }
    }

    json::Writer &writer_;
    json::Reader &reader_;
};

}  // namespace

bool is_text_part(const ir::Part &part) {
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

void write_part_text(const ir::Part &part, json::Writer &writer, json::Reader &reader) {
    if (const auto *text = std::get_if<ir::Text>(&part.is)) {
        writer.piece(text->text);
    } else if (const auto *refusal = std::get_if<ir::Refusal>(&part.is)) {
        writer.piece(refusal->text);
    } else if (const auto *document = std::get_if<ir::Document>(&part.is)) {
        PartText(writer, reader).document(*document);
    } else if (const auto *opaque = std::get_if<ir::Opaque>(&part.is)) {
        PartText(writer, reader).search_result(opaque->json);
    }
}

}  // namespace llm
