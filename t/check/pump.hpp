// Drives decoders and encoders the way nginx does: bytes in pieces of any size, each in a buffer
// of its own whose padding is garbage, so that nothing can depend on what lies behind.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "t/check/event_log.hpp"
#include "translators/dialect/dialect.hpp"

namespace llm::check {

// Ids 1, 2, 3 ...: what depends on chance is the same in every run.
struct FixedIds final : IdSource {
    uint64_t next() override { return ++last; }
    uint64_t last = 0;
};

// A client that wants everything shown. `ids` must outlive the view.
ClientView full_view(FixedIds &ids);

// Where to cut: ascending offsets inside the input.
using Cuts = std::vector<size_t>;

// Feeds the pieces and the end of input.
void pump(Decoder &decoder, std::string_view bytes, const Cuts &cuts, ir::EventSink &sink);

// Events of a provider's stream.
EventLog decode(DialectId provider, std::string_view bytes, const Cuts &cuts = {});

// The same for a client of `client`, as bytes.
std::string translate(DialectId provider, DialectId client, std::string_view bytes,
                      const Cuts &cuts = {});
std::string translate(DialectId provider, const ClientView &view, DialectId client,
                      std::string_view bytes, const Cuts &cuts = {});

// Offsets behind each event of a provider's stream.
std::vector<size_t> frame_ends(DialectId provider, std::string_view stream);

// The bytes of a stored stream: files called *.b64 hold binary ones.
std::string stream_bytes(std::string_view file_name, const std::string &content);

// A parsed document that keeps its bytes: for requests and whole answers.
class Document {
  public:
    explicit Document(std::string_view bytes, const json::Limits &limits = {});
    explicit operator bool() const { return is_good_; }
    json::Value root() const { return root_; }
    std::string_view bytes() const { return {padded_.data(), size_}; }

  private:
    std::string padded_;
    size_t size_;
    json::Reader reader_;
    json::Value root_;
    bool is_good_ = false;
};

}  // namespace llm::check
