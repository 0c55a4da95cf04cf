// See json_array.hpp. Separators are Google's own.
#include "translators/wire/json_array.hpp"

namespace llm::wire {

bool JsonArrayFraming::begin(ByteBuffer &out) {
    if (state_ == State::closed) {
        return false;
    }
    out.append(state_ == State::fresh ? "[" : ",\r\n");
    state_ = State::open;
    return true;
}

void JsonArrayFraming::element(std::string_view json, ByteBuffer &out) {
    if (begin(out)) {
        out.append(json);
    }
}

void JsonArrayFraming::ping(ByteBuffer &out) {
    if (state_ != State::closed) {
        out.append('\n');
    }
}

void JsonArrayFraming::finish(ByteBuffer &out) {
    if (state_ == State::closed) {
        return;
    }
    out.append(state_ == State::fresh ? "[]" : "]");
    state_ = State::closed;
}

}  // namespace llm::wire
