// What cost needs to know of an answer beside its usage: how much text it carries, for estimates
// when it breaks before its usage came, and the service tier that it was billed under.
#pragma once

#include <cstdint>
#include <string_view>

namespace llm {

// Adds up what the events of a stream carry. Only some of them are looked at: what stands around
// the text is as long in the others, so their size tells how much text there is. That costs nearly
// nothing.
class DeliveredText {
  public:
    void add(std::string_view event_data);
    uint64_t bytes() const { return bytes_; }

  private:
    uint64_t bytes_ = 0;
    size_t frame_ = 0;  // what stood around the text that was looked at last
    uint32_t count_ = 0;
};

// Length of the strings that hold content in one event of any dialect, as they are written.
uint64_t content_length(std::string_view event_data);

// The value of the last "service_tier" in some bytes of a stream, or empty. Within strings of JSON
// its quotes would be escaped.
std::string_view find_service_tier(std::string_view bytes);

}  // namespace llm
