// A History in the words of the messages API: every block, what of a part the API takes at all, and
// the marks of its cache. Entry points: write_messages, unsupported_part.
#include "translators/dialect/anthropic.hpp"
#include "translators/dialect/media.hpp"
#include "translators/dialect/tool_arguments.hpp"

namespace llm::anthropic {

using ir::Part;
using ir::Role;
using What = Block::What;

namespace {

bool is_image_mime(JsonText mime) {
    return json::equals(mime, "image/png") || json::equals(mime, "image/jpeg") ||
           json::equals(mime, "image/gif") || json::equals(mime, "image/webp");
}

}  // namespace

std::string_view unsupported_part(const Part &part, Role, DialectId from, const Target &target,
                                  Arena &arena) {
    bool is_foreign = from != DialectId::anthropic;
    bool is_bedrock = target.carrier == Carrier::bedrock;
    if (std::holds_alternative<ir::Audio>(part.is)) {
        return "input_audio";
    }
    if (const ir::Image *image = std::get_if<ir::Image>(&part.is)) {
        ir::Source source = resolve_source(image->source, arena);
        bool is_bad_data =
            source.kind == ir::SourceKind::base64 && is_foreign && !is_image_mime(source.mime);
        bool is_bad_id = source.kind == ir::SourceKind::file_id && (is_foreign || is_bedrock);
        bool is_bad_url = source.kind == ir::SourceKind::url && is_bedrock;
        return is_bad_data || is_bad_id || is_bad_url ? "image_url" : std::string_view();
    }
    if (const ir::Document *document = std::get_if<ir::Document>(&part.is)) {
        ir::Source source = resolve_source(document->source, arena);
        bool is_bad_data = source.kind == ir::SourceKind::base64 && is_foreign &&
                           !json::equals(source.mime, "application/pdf") &&
                           !is_text_mime(source.mime);
        bool is_bad_id = source.kind == ir::SourceKind::file_id && (is_foreign || is_bedrock);
        bool is_bad_url = source.kind == ir::SourceKind::url && is_bedrock;
        return is_bad_data || is_bad_id || is_bad_url ? "file" : std::string_view();
    }
    if (const ir::Opaque *opaque = std::get_if<ir::Opaque>(&part.is)) {
        return opaque->dialect == DialectId::anthropic ? std::string_view() : "messages.content";
    }
    return {};
}

namespace {

class BlockWriter {
  public:
    BlockWriter(const BlockContext &context, json::Writer &writer)
        : context_(context), writer_(writer) {}

    void block(const Block &block) {
        switch (block.what) {
            case What::part:
                cache_ = block.cache;
                std::visit(*this, block.part->is);
                return;
            case What::text:
                text_block(block.text, block.cache);
                return;
            case What::system:
                writer_.object().key("type").plain("text").key("text").open_text();
                writer_.piece_plain("<system>").piece(block.text).piece_plain("</system>");
                writer_.close_text();
                close(block.cache);
                return;
            case What::no_result:
                writer_.object().key("type").plain("tool_result").key("tool_use_id");
                writer_.text(call_id_for_anthropic(block.text, context_.arena));
                writer_.key("content").plain("[no result]").key("is_error").boolean(true).end();
                return;
        }
    }

    void operator()(const ir::Text &text) {
        writer_.object().key("type").plain("text").key("text").text(text.text);
        if (text.citations_origin == DialectId::anthropic && !text.citations.empty()) {
            writer_.key("citations").raw(text.citations);
        }
        close(cache_);
    }

    void operator()(const ir::Refusal &refusal) { text_block(refusal.text, {}); }

    void operator()(const ir::Image &image) {
        writer_.object().key("type").plain("image").key("source");
        source(resolve_source(image.source, context_.arena));
        close(cache_);
    }

    void operator()(const ir::Document &document) {
        writer_.object().key("type").plain("document").key("source");
        source(resolve_source(document.source, context_.arena));
        if (!document.title.empty()) {
            writer_.key("title").text(document.title);
        }
        if (!document.context.empty()) {
            writer_.key("context").text(document.context);
        }
        if (!document.citations.empty()) {
            writer_.key("citations").raw(document.citations);
        }
        close(cache_);
    }

    void operator()(const ir::ToolCall &call) {
        writer_.object().key("type").plain("tool_use");
        writer_.key("id").text(call_id_for_anthropic(call.id, context_.arena));
        writer_.key("name");
        writer_.text(tool_name_for_target(call.name, context_.notes.renamed, context_.arena));
        writer_.key("input");
        if (call.custom) {
            writer_.object().key("input").plain(call.arguments).end();
        } else if (context_.request.dialect == DialectId::anthropic) {
            writer_.raw({call.arguments});  // our parser takes nothing but an object
        } else {
            writer_.raw(arguments_as_object(call.arguments, context_.arena));
        }
        close(cache_);
    }

    void operator()(const ir::ToolResult &result) {
        RawJson cache = cache_;
        writer_.object().key("type").plain("tool_result").key("tool_use_id");
        writer_.text(call_id_for_anthropic(result.call_id, context_.arena));
        const Part *only = nullptr;
        size_t count = 0;
        for (const Part &part : result.parts) {
            if (is_nested(part)) {
                only = &part;
                ++count;
            }
        }
        const JsonText *text = count == 1 ? text_of(*only) : nullptr;
        if (text != nullptr && cache_of(*only).empty()) {
            writer_.key("content").text(*text);
        } else if (count > 0) {
            writer_.key("content").array();
            for (const Part &part : result.parts) {
                if (is_nested(part)) {
                    cache_ = cache_of(part);
                    std::visit(*this, part.is);
                }
            }
            writer_.end();
        }
        if (result.is_error) {
            writer_.key("is_error").boolean(true);
        }
        close(cache);
    }

    void operator()(const ir::Reasoning &reasoning) {
        if (reasoning.is_redacted) {
            writer_.object().key("type").plain("redacted_thinking");
            writer_.key("data").text(reasoning.redacted).end();
            return;
        }
        writer_.object().key("type").plain("thinking").key("thinking").text(reasoning.text);
        writer_.key("signature").text(reasoning.signature).end();
    }

    void operator()(const ir::Opaque &opaque) { writer_.raw(opaque.json); }
    void operator()(const ir::Audio &) {}  // never part of a History

  private:
    bool is_nested(const Part &part) const {
        if (const JsonText *text = text_of(part)) {
            return !json::is_blank(*text);
        }
        return !std::holds_alternative<ir::ToolCall>(part.is) &&
               !std::holds_alternative<ir::ToolResult>(part.is) &&
               !std::holds_alternative<ir::Reasoning>(part.is) &&
               unsupported_part(part, Role::user, context_.request.dialect, context_.target,
                                context_.arena)
                   .empty();
    }

    void text_block(JsonText text, RawJson cache) {
        writer_.object().key("type").plain("text").key("text").text(text);
        close(cache);
    }

    void close(RawJson cache) {
        context_.marks.write(cache, writer_);
        writer_.end();
    }

    void source(const ir::Source &source) {
        writer_.object().key("type");
        switch (source.kind) {
            case ir::SourceKind::url:
                writer_.plain("url").key("url").text(source.data);
                break;
            case ir::SourceKind::file_id:
                writer_.plain("file").key("file_id").text(source.data);
                break;
            case ir::SourceKind::text:
                plain_text(source.data);
                break;
            case ir::SourceKind::blocks:
                writer_.plain("content").key("content").raw(source.blocks);
                break;
            case ir::SourceKind::base64:
                if (is_text_mime(source.mime)) {
                    plain_text(decode_base64_text(source.data, context_.arena));
                } else {
                    writer_.plain("base64").key("media_type").text(source.mime);
                    writer_.key("data").text(source.data);
                }
                break;
        }
        writer_.end();
    }

    void plain_text(JsonText data) {
        writer_.plain("text").key("media_type").plain("text/plain").key("data").text(data);
    }

    const BlockContext &context_;
    json::Writer &writer_;
    RawJson cache_;  // of the part that is written next
};

std::string_view role_name(Role role) {
    switch (role) {
        case Role::user:
            return "user";
        case Role::assistant:
            return "assistant";
        case Role::system:
            return "system";
    }
    return "user";
}

}  // namespace

bool takes_cache_ttl(const Target &target) {
    return target.traits.structured_output &&
           target.model.find("opus-4-1") == std::string_view::npos;
}

std::string_view mark_for_target(std::string_view mark, const Target &target) {
    if (target.carrier != Carrier::bedrock) {
        return mark;
    }
    bool has_ttl = mark.find("\"1h\"") != std::string_view::npos && takes_cache_ttl(target);
    bool is_plain = mark.find("\"scope\"") == std::string_view::npos &&
                    (has_ttl || mark.find("\"ttl\"") == std::string_view::npos);
    return is_plain  ? mark
           : has_ttl ? R"({"type":"ephemeral","ttl":"1h"})"
                     : R"({"type":"ephemeral"})";
}

void CacheMarks::write(RawJson mark, json::Writer &writer) {
    if (mark.empty()) {
        return;
    }
    if (skip > 0) {
        --skip;
        return;
    }
    writer.key("cache_control");
    writer.raw(target == nullptr ? mark : RawJson{mark_for_target(mark.bytes, *target)});
}

uint32_t count_marks(const History &history) {
    uint32_t count = 0;
    for (const Message &message : history.messages) {
        for (const Block &block : message.blocks) {
            count += block.cache.empty() ? 0 : 1;
            if (block.what != What::part) {
                continue;
            }
            if (const ir::Opaque *opaque = std::get_if<ir::Opaque>(&block.part->is)) {
                bool is_marked =
                    opaque->json.bytes.find("\"cache_control\":{") != std::string_view::npos;
                count += is_marked ? 1 : 0;
            }
            if (const ir::ToolResult *result = std::get_if<ir::ToolResult>(&block.part->is)) {
                for (const Part &part : result->parts) {
                    count += cache_of(part).empty() ? 0 : 1;
                }
            }
        }
    }
    return count;
}

void write_messages(const History &history, const BlockContext &context, json::Writer &writer) {
    BlockWriter blocks(context, writer);
    writer.array();
    for (const Message &message : history.messages) {
        writer.object().key("role").plain(role_name(message.role)).key("content").array();
        for (const Block &block : message.blocks) {
            blocks.block(block);
        }
        writer.end().end();
    }
    writer.end();
}

}  // namespace llm::anthropic
