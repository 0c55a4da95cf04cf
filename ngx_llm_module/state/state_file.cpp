// How it is written; state_loader.cpp reads it.
#include "ngx_llm_module/state/state_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ngx_llm_module/state/state_lines.hpp"
#include "translators/json/writer.hpp"

namespace llm {
namespace {

constexpr off_t kJournalAtLeast = 1 << 20;
constexpr size_t kPiece = 64 << 10;  // is written at once

void write_record(json::Writer &w, RecordKind kind, std::string_view id, std::string_view json,
                  uint64_t version) {
    w.object().key("kind").plain(kRecordKinds[size_t(kind)]).key("id").plain(id);
    w.key("version").number(int64_t(version)).key("record");
    json.empty() ? w.null() : w.raw(RawJson{json});
    w.end();
}

class FileLock {
  public:
    explicit FileLock(int fd) : fd_(fd) {
        while (flock(fd_, LOCK_EX) != 0 && errno == EINTR) {
        }
    }
    ~FileLock() { flock(fd_, LOCK_UN); }
    FileLock(const FileLock &) = delete;
    FileLock &operator=(const FileLock &) = delete;

  private:
    int fd_;
};

bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        ssize_t written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno != EINTR) {
            return false;
        }
        bytes.remove_prefix(written > 0 ? size_t(written) : 0);
    }
    return true;
}

int sync_directory(const std::string &path) {
    size_t slash = path.rfind('/');
    File directory(slash == std::string::npos ? "." : path.substr(0, slash + 1), O_RDONLY);
    return directory.is_open() && fsync(directory.fd()) == 0 ? 0 : errno;
}

}  // namespace

void render_changes(std::span<const RecordChange> changes, std::string &items) {
    for (const RecordChange &change : changes) {
        ByteBuffer json;
        json::Writer w(json);
        write_record(w, change.kind, change.id, change.json, change.version);
        items.append(items.empty() ? "" : ",").append(json.view());
    }
}

StateWriter::StateWriter(std::string path, int journal, std::string &buffer)
    : path_(std::move(path)), buffer_(buffer) {
    fd_ = ::open((path_ + ".new").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct stat owner;
    if (fd_ < 0 || fstat(journal, &owner) != 0 ||
        (geteuid() == 0 && fchown(fd_, owner.st_uid, owner.st_gid) != 0)) {
        error_ = errno;
    }
}

StateWriter::~StateWriter() {
    buffer_.clear();
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

void StateWriter::begin(size_t head) {
    buffer_.clear();
    head_ = head;
    size_ = 0;
    crc_ = 0xffffffff;
    if (error_ == 0 && (ftruncate(fd_, 0) != 0 || lseek(fd_, off_t(head), SEEK_SET) < 0)) {
        error_ = errno;
    }
}

void StateWriter::append(std::string_view text) {
    size_ += text.size();
    ngx_crc32_update(&crc_, reinterpret_cast<u_char *>(const_cast<char *>(text.data())),
                     text.size());
    if (buffer_.size() + text.size() > kPiece) {
        flush();
    }
    text.size() > kPiece ? write(text) : void(buffer_.append(text));
}

void StateWriter::flush() {
    write(buffer_);
    buffer_.clear();
}

void StateWriter::write(std::string_view bytes) {
    if (error_ == 0 && !write_all(fd_, bytes)) {
        error_ = errno;
    }
}

int StateWriter::replace(std::string_view head) {
    flush();
    if (error_ == 0 && !head.empty() && lseek(fd_, 0, SEEK_SET) < 0) {
        error_ = errno;
    }
    write(head);
    if (error_ == 0 && (fsync(fd_) != 0 || rename((path_ + ".new").c_str(), path_.c_str()) != 0)) {
        error_ = errno;
    }
    return error_ == 0 ? sync_directory(path_) : error_;
}

StateFile::StateFile(const Config &config) : config_(config) {
    if (!config.state_path.empty()) {
        buffer_.reserve(kPiece);  // not in a thread: each has a heap of its own
    }
}

StateFile::~StateFile() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

int StateFile::open() {
    std::string path = journal_of(config_);
    fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd_ < 0) {
        return errno;
    }
    FileLock lock(fd_);
    std::string text;
    if (!read_file(path, text)) {
        return errno;
    }
    struct stat snapshot;
    bool has_snapshot = stat(config_.state_path.c_str(), &snapshot) == 0;
    if (text.empty()) {
        (void)sync_directory(path);  // it may be new
        // Somebody made it before the first start. Later nobody could tell whether it was emptied.
        if (has_snapshot && snapshot.st_size == 0) {
            (void)unlink(config_.state_path.c_str());
        }
    }
    // A last line that was dropped when the journal was read must not come to stand between others.
    // append sees to a piece of one.
    if (text.ends_with('\n')) {
        size_t before = text.size() > 1 ? text.rfind('\n', text.size() - 2) : std::string::npos;
        size_t begin = before == std::string::npos ? 0 : before + 1;
        if (is_torn(text, begin) && ftruncate(fd_, off_t(begin)) != 0) {
            return errno;
        }
    }
    bool is_noted = !has_snapshot || snapshot.st_size == 0 || has_note(text);
    return is_noted ? 0 : append_locked(snapshot_note());
}

int StateFile::open_existing() {
    fd_ = ::open(journal_of(config_).c_str(), O_RDWR | O_APPEND | O_CLOEXEC);
    return fd_ >= 0 ? 0 : errno;
}

int StateFile::append(std::string_view items) {
    if (fd_ < 0) {
        return EBADF;
    }
    std::string line;
    append_line(std::string("[").append(items).append("]"), line);
    FileLock lock(fd_);
    return append_locked(line);
}

int StateFile::append_locked(std::string_view line) {
    struct stat info;
    if (fstat(fd_, &info) != 0) {
        return errno;
    }
    // Whoever was killed while writing has left a piece of a line: nobody was told of it.
    off_t size = info.st_size;
    char last = '\n';
    while (size > 0 && pread(fd_, &last, 1, size - 1) == 1 && last != '\n') {
        size--;
    }
    if (size != info.st_size && ftruncate(fd_, size) != 0) {
        return errno;
    }
    // Whoever was killed before it had synced has left a line that the machine may still lose: only
    // the last one of a journal may be torn.
    if (size != synced_ && fdatasync(fd_) != 0) {
        return errno;
    }
    if (write_all(fd_, line) && fdatasync(fd_) == 0) {
        synced_ = size + off_t(line.size());
        return 0;
    }
    int error = errno;
    if (ftruncate(fd_, size) != 0) {
        return errno;
    }
    return error;
}

int StateFile::write_snapshot() {
    if (fd_ < 0) {
        return EBADF;
    }
    FileLock lock(fd_);
    StateWriter file(config_.state_path, fd_, buffer_);
    std::string line;
    auto write_line = [&](std::string_view json) {
        line.clear();
        append_line(json, line);
        file.append(line);
    };
    write_line(kStateHeader);
    for_each_record(config_, [&](RecordKind kind, const std::string &id, const std::string &json,
                                 uint64_t version) {
        ByteBuffer out;
        json::Writer w(out);
        w.array();
        write_record(w, kind, id, json, version);
        w.end();
        write_line(out.view());
    });
    write_line(kNoRecords);
    if (int error = file.replace()) {
        return error;
    }
    return ftruncate(fd_, 0) == 0 ? append_locked(snapshot_note()) : errno;
}

int StateFile::save_section(const StateSection &section) {
    if (fd_ < 0) {
        return EBADF;
    }
    FileLock lock(fd_);
    std::string path = section_of(config_, section);
    struct stat last;
    size_t guess = stat(path.c_str(), &last) == 0 ? size_t(last.st_size) : 0;
    StateWriter file(path, fd_, buffer_);
    // The head says how much follows, and has room for as many digits as it had before: nearly
    // always that is right.
    for (;;) {
        size_t room = Head(guess, 0).size;
        file.begin(room);
        section.save(config_, file);
        Head head(file.size(), file.crc());
        if (head.size == room) {
            return file.replace(head.view());
        }
        guess = file.size();
    }
}

bool StateFile::is_snapshot_due() const {
    struct stat journal, snapshot;
    if (fd_ < 0 || fstat(fd_, &journal) != 0 || journal.st_size < kJournalAtLeast) {
        return false;
    }
    return stat(config_.state_path.c_str(), &snapshot) != 0 ||
           journal.st_size > 2 * snapshot.st_size;
}

}  // namespace llm
