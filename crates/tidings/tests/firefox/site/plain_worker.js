self.addEventListener("push", (event) => {
  const { title, ...options } = event.data.json().notification;
  event.waitUntil(self.registration.showNotification(title, options));
});
