// See gemini_client.hpp. Token counts towards the client: thoughts are no candidates' tokens, the
// total is input and output.
#include "translators/dialect/gemini_client.hpp"

#include "translators/core/base64.hpp"
#include "translators/dialect/gemini_request.hpp"
#include "translators/dialect/opaque_tag.hpp"

namespace llm::gemini {

namespace {

constexpr size_t kMaxRuns = 16384;
constexpr size_t kMaxGrounding = 256u << 10;  // bytes of the citations of one candidate
constexpr size_t kMaxChunks = 512;

bool is_one_of(char c, std::string_view any) {
    return any.find(c) != std::string_view::npos;
}

}  // namespace

std::string_view finish_name(ir::Finish finish) {
    switch (finish) {
        case ir::Finish::stop:
        case ir::Finish::stop_sequence:
        case ir::Finish::tool_calls:
        case ir::Finish::pause:
            break;
        case ir::Finish::length:
        case ir::Finish::context_length:
            return "MAX_TOKENS";
        case ir::Finish::content_filter:
            return "SAFETY";
        case ir::Finish::refusal:
            return "PROHIBITED_CONTENT";
        case ir::Finish::malformed:
            return "MALFORMED_FUNCTION_CALL";
        case ir::Finish::error:
        case ir::Finish::other:
            return "OTHER";
    }
    return "STOP";
}

void write_usage(Usage usage, json::Writer &writer) {
    usage.normalise();
    writer.object();
    writer.key("promptTokenCount").number(usage.input);
    if (usage.cache_read > 0) {
        writer.key("cachedContentTokenCount").number(usage.cache_read);
    }
    writer.key("candidatesTokenCount").number(usage.output - usage.reasoning);
    if (usage.reasoning > 0) {
        writer.key("thoughtsTokenCount").number(usage.reasoning);
    }
    writer.key("totalTokenCount").number(usage.total());
    writer.end();
}

void write_answer_id(const ClientView &view, json::Writer &writer) {
    constexpr size_t kSize = 24;
    char id[kSize];
    uint64_t bits = 0;
    for (size_t i = 0; i < kSize; ++i) {
        if (i % 16 == 0) {
            bits = view.ids == nullptr ? 0 : view.ids->next();
        }
        id[i] = "0123456789abcdef"[bits & 15];
        bits >>= 4;
    }
    writer.text({{id, kSize}});
}

JsonText signature_for_client(DialectId origin, JsonText data, bool is_redacted, Arena &arena) {
    if (origin == DialectId::gemini) {
        return data;
    }
    std::string_view tag = opaque_tag(origin);
    if (tag.empty() || data.empty()) {
        return {};
    }
    std::string tagged(tag);
    tagged.append(is_redacted ? kRedactedMark : std::string_view());
    tagged.append(json::unescape(data, arena));
    return {encode_base64(tagged, arena)};
}

bool stands_alone(DialectId origin, bool has_text) {
    return !has_text || origin == DialectId::gemini || origin == DialectId::responses;
}

void write_logprobs(RawJson raw, json::Reader &reader, json::Writer &writer) {
    json::Limits limits;
    limits.allow_lone_surrogates = true;
    Result<json::Value> parsed = reader.parse_unpadded(raw.bytes, limits);
    if (!parsed || (*parsed)["content"].size() == 0) {
        return;
    }
    auto candidate = [&writer](json::Value token) {
        writer.object().key("token").text(token["token"].text());
        if (token["logprob"].is_number()) {
            writer.key("logProbability").raw(token["logprob"].raw());
        }
        writer.end();
    };
    writer.key("logprobsResult").object().key("chosenCandidates").array();
    bool has_top = false;
    for (json::Value token : (*parsed)["content"].items()) {
        candidate(token);
        has_top = has_top || token["top_logprobs"].size() > 0;
    }
    writer.end();
    if (has_top) {
        writer.key("topCandidates").array();
        for (json::Value token : (*parsed)["content"].items()) {
            writer.object().key("candidates").array();
            for (json::Value other : token["top_logprobs"].items()) {
                candidate(other);
            }
            writer.end().end();
        }
        writer.end();
    }
    writer.end();
}

// --- offsets --------------------------------------------------------------------------------

void TextOffsets::clear() {
    runs_.clear();
    bytes_ = 0;
    characters_ = 0;
    is_overfull_ = false;
    after_high_ = false;
}

void TextOffsets::run(int64_t count, int64_t width) {
    bytes_ += count * width;
    characters_ += count;
    if (!runs_.empty() && runs_.back().width == width) {
        runs_.back().characters += count;
    } else if (runs_.size() < kMaxRuns) {
        runs_.push_back({count, width});
    } else {
        is_overfull_ = true;
    }
}

void TextOffsets::add(JsonText text) {
    const std::string_view bytes = text.bytes;
    for (size_t i = 0; i < bytes.size();) {
        unsigned char c = static_cast<unsigned char>(bytes[i]);
        bool is_unicode = c == '\\' && i + 5 < bytes.size() && bytes[i + 1] == 'u';
        bool is_half = is_unicode && is_one_of(bytes[i + 2], "dD");
        bool is_low = is_half && is_one_of(bytes[i + 3], "cdefCDEF");
        if (after_high_) {
            after_high_ = false;
            run(1, is_low ? 4 : 3);  // a half alone is a replacement character
            if (is_low) {
                i += 6;
                continue;
            }
        }
        if (is_unicode) {
            if (is_half && is_one_of(bytes[i + 3], "89abAB")) {
                after_high_ = true;
            } else if (bytes[i + 2] == '0' && bytes[i + 3] == '0') {
                run(1, is_one_of(bytes[i + 4], "01234567") ? 1 : 2);
            } else {
                run(1, bytes[i + 2] == '0' && is_one_of(bytes[i + 3], "1234567") ? 2 : 3);
            }
            i += 6;
        } else if (c == '\\') {
            run(1, 1);
            i += 2;
        } else if (c < 0x80) {
            size_t end = i + 1;
            while (end < bytes.size() && bytes[end] != '\\' && (bytes[end] & 0x80) == 0) {
                ++end;
            }
            run(static_cast<int64_t>(end - i), 1);
            i = end;
        } else {
            int64_t width = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
            run(1, width);
            i += static_cast<size_t>(width);
        }
    }
}

int64_t TextOffsets::byte_of(int64_t character) const {
    if (character < 0 || character > characters_ || is_overfull_) {
        return -1;
    }
    int64_t byte = 0;
    for (const Run &run : runs_) {
        if (character <= run.characters) {
            return byte + character * run.width;
        }
        character -= run.characters;
        byte += run.characters * run.width;
    }
    return byte;
}

// --- citations ------------------------------------------------------------------------------

void Grounding::open_text() {
    end_text();
    block_start_ += block_.bytes();
    block_.clear();
}

// Citations of the block as a whole end where it does.
void Grounding::end_text() {
    for (Support &support : supports_) {
        if (support.end < 0) {
            support.end = block_start_ + block_.bytes();
        }
    }
}

size_t Grounding::chunk_of(const ir::Citation &citation) {
    for (size_t i = 0; i < chunks_.size(); ++i) {
        if (chunks_[i].url == citation.url.bytes && chunks_[i].title == citation.title.bytes) {
            return i;
        }
    }
    chunks_.push_back({std::string(citation.url.bytes), std::string(citation.title.bytes)});
    return chunks_.size() - 1;
}

void Grounding::cite(const ir::Citation &citation) {
    size_t size = citation.url.bytes.size() + citation.title.bytes.size() + sizeof(Support);
    if (!raw_.empty() || citation.url.empty() || held_ + size > kMaxGrounding ||
        chunks_.size() >= kMaxChunks) {
        return;
    }
    held_ += size;
    int64_t start = block_.byte_of(citation.start);
    int64_t end = block_.byte_of(citation.end);
    bool has_place = start >= 0 && end >= start;
    supports_.push_back({chunk_of(citation), block_start_ + (has_place ? start : 0),
                         has_place ? block_start_ + end : -1});
}

void Grounding::cite_raw(RawJson metadata) {
    if (raw_.empty() && metadata.bytes.starts_with("{") && metadata.bytes.size() < kMaxGrounding) {
        raw_ = metadata.bytes;
        for (char &c : raw_) {
            c = c == '\n' || c == '\r' ? ' ' : c;  // a frame is one line
        }
    }
}

void Grounding::write(json::Writer &writer) {
    if (!raw_.empty()) {
        writer.raw({raw_});
        return;
    }
    end_text();
    writer.object().key("groundingChunks").array();
    for (const Chunk &chunk : chunks_) {
        writer.object().key("web").object().key("uri").text({chunk.url});
        writer.key("title").text({chunk.title}).end().end();
    }
    writer.end().key("groundingSupports").array();
    for (const Support &support : supports_) {
        writer.object().key("segment").object();
        if (support.start > 0) {
            writer.key("startIndex").number(support.start);
        }
        writer.key("endIndex").number(support.end).end();
        writer.key("groundingChunkIndices").array();
        writer.number(static_cast<int64_t>(support.chunk)).end().end();
    }
    writer.end().end();
}

}  // namespace llm::gemini
