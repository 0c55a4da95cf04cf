// A stream as one JSON array that grows: what Gemini's clients read when they did not ask for
// server-sent events. Independent of who makes the elements:
//
//   JsonArrayFraming framing;
//   framing.element(json, out);      // for each object as it is ready
//   framing.finish(out);             // at the end, also behind an error's object
//
// or begin(), the bytes of one element straight into `out`, and so on. Whatever the order of calls,
// `out` holds one valid array once finish() was called; nothing is written after it.
#pragma once

#include <cstdint>
#include <string_view>

#include "translators/json/writer.hpp"

namespace llm::wire {

class JsonArrayFraming {
  public:
    // What stands before an element. False, and nothing written, when the array is closed.
    bool begin(ByteBuffer &out);
    // One whole element: a JSON value. Line ends inside are legal here.
    void element(std::string_view json, ByteBuffer &out);
    // White space, which keeps the connection alive between elements.
    void ping(ByteBuffer &out);
    // Closes the array; an empty stream becomes [].
    void finish(ByteBuffer &out);
    bool is_finished() const { return state_ == State::closed; }

  private:
    enum class State : uint8_t { fresh, open, closed };
    State state_ = State::fresh;
};

}  // namespace llm::wire
