// What bodies and streams for Gemini clients write in the same way: finish reasons, token counts,
// signatures, logprobs, and citations as groundingMetadata.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "translators/dialect/dialect.hpp"
#include "translators/json/writer.hpp"

namespace llm::gemini {

std::string_view finish_name(ir::Finish finish);

// The usageMetadata object, whole.
void write_usage(Usage usage, json::Writer &writer);

// An id for an answer whose provider gave none, as a value.
void write_answer_id(const ClientView &view, json::Writer &writer);

// A signature as a Gemini client gets it: Google's own as it is, any other tagged and in Base64.
JsonText signature_for_client(DialectId origin, JsonText data, bool is_redacted, Arena &arena);
// May a signature go to a client that is not shown the text it belongs to? Not where the maker
// compares the two.
bool stands_alone(DialectId origin, bool has_text);

// A chat logprobs object as the member logprobsResult; nothing when it is none.
void write_logprobs(RawJson raw, json::Reader &reader, json::Writer &writer);

// Offsets of a text, as it grows: citations count characters, Google's segments bytes of UTF-8.
// Kept are runs of characters of equal width, so that plain English costs one and no text is.
class TextOffsets {
  public:
    void clear();
    // Escaped text, cut between characters or between the two escapes of one.
    void add(JsonText text);
    int64_t bytes() const { return bytes_; }
    // The byte at which a character begins; -1 when there is no such character or too much mixed
    // text came to say.
    int64_t byte_of(int64_t character) const;

  private:
    struct Run {
        int64_t characters;
        int64_t width;
    };
    void run(int64_t count, int64_t width);

    std::vector<Run> runs_;
    int64_t bytes_ = 0;
    int64_t characters_ = 0;
    bool is_overfull_ = false;
    bool after_high_ = false;  // the first half of a pair ended the latest text
};

// Collects the citations of one candidate. What a Gemini provider said of them goes out as it is;
// others become chunks and supports.
class Grounding {
  public:
    // A text block begins, goes on.
    void open_text();
    void text(JsonText text) { block_.add(text); }
    // A citation in the block at hand.
    void cite(const ir::Citation &citation);
    void cite_raw(RawJson metadata);
    bool empty() const { return raw_.empty() && supports_.empty(); }
    // The groundingMetadata object. Nothing is added afterwards.
    void write(json::Writer &writer);

  private:
    struct Chunk {
        std::string url, title;  // escaped
    };
    struct Support {
        size_t chunk;
        int64_t start, end;  // bytes of the candidate's text; end -1: of its block
    };
    void end_text();
    size_t chunk_of(const ir::Citation &citation);

    std::string raw_;
    TextOffsets block_;
    int64_t block_start_ = 0;  // in the text of the candidate
    std::vector<Chunk> chunks_;
    std::vector<Support> supports_;
    size_t held_ = 0;  // bytes of both
};

}  // namespace llm::gemini
